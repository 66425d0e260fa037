import numpy as np
import pytest
from pydantic import ValidationError

from lightning_liver.augment.pipeline import Policy, basic

OPTIONS = {"rotation_degrees": 15.0, "scale": 0.15, "shift": 0.05, "noise_hu": 0.0, "window_hu": (-160.0, 240.0)}


def marked() -> tuple[np.ndarray, np.ndarray]:
    """A slice that shows its own mask."""
    y, x = np.mgrid[:96, :80]
    labels = ((np.abs(y - 40) < 20) & (np.abs(x - 36) < 16)).astype(np.uint8)
    labels += (y - 44) ** 2 + (x - 40) ** 2 < 60
    return (labels / 2).astype(np.float32)[..., None], labels


def policy(**options: float) -> Policy:
    made: Policy = basic(**(OPTIONS | options))
    return made


def test_a_mask_drawn_into_the_image_moves_with_it() -> None:
    image, labels = marked()
    for seed in range(20):
        moved, moved_labels = policy()(image, labels, seed)
        drawn = moved[..., 0] > 0.25
        assert np.mean(drawn != (moved_labels > 0)) < 0.01
        assert not np.array_equal(moved_labels, labels)


def test_labels_gain_no_value() -> None:
    image, labels = marked()
    for seed in range(20):
        assert set(np.unique(policy(noise_hu=20)(image, labels, seed)[1])) <= {0, 1, 2}


def test_the_seed_alone_decides() -> None:
    image, labels = marked()
    changing = policy(noise_hu=20)
    first = changing(image, labels, 1)[0]
    other = changing(image, labels, 2)[0]
    np.testing.assert_array_equal(changing(image, labels, 1)[0], first)
    assert not np.array_equal(first, other)


def test_noise_is_in_hounsfield_units() -> None:
    image, labels = np.full((256, 256, 1), 0.5, np.float32), np.zeros((256, 256), np.uint8)
    still = policy(rotation_degrees=0, scale=0, shift=0, noise_hu=20)
    deviations = [400 * np.std(still(image, labels, seed)[0]) for seed in range(60)]
    assert max(deviations) == pytest.approx(20, rel=0.1)
    assert max(deviations) < 20.5
    assert np.mean(deviations) == pytest.approx(10, rel=0.25)


def test_image_stays_float32_in_0_to_1_and_keeps_its_channels() -> None:
    image, labels = marked()
    changed, _ = policy(noise_hu=50)(np.repeat(image, 3, axis=-1), labels, 0)
    assert changed.dtype == np.float32
    assert changed.shape == (96, 80, 3)
    assert changed.min() >= 0
    assert changed.max() <= 1


@pytest.mark.parametrize("wrong", [{"rotation_degrees": -1}, {"scale": 1.5}, {"shift": -0.1}, {"noise_hu": -5}])
def test_options_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        policy(**wrong)
