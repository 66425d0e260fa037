"""Rules for every policy of conf/augment: a new one is tested as soon as it exists."""

import numpy as np
import pytest
from hydra.utils import get_method
from omegaconf import DictConfig

from lightning_liver.build import build
from lightning_liver.config import compose
from lightning_liver.errors import LiverError
from lightning_liver.volume import Slice
from tests.augment.marked import POLICIES, itself, marked, moves, nobody, noisy, policy, shown

pytestmark = pytest.mark.parametrize("name", POLICIES)


def test_a_mask_drawn_into_the_image_moves_with_it(name: str) -> None:
    image, wrong, stale = marked(), [], []
    for seed in range(20):
        changed = policy(name)(image, seed, itself(image))
        wrong.append(np.mean(shown(changed.hu) != changed.labels))
        stale.append(np.mean(shown(changed.hu) != image.labels))
    # Hidden or blurred marks may be wrong in a few pixels; moved ones in fewer than half a pixel of shift would give.
    assert np.median(wrong) < (0.002 if name in ("flip", "rotate", "geometric", "elastic") else 0.03)
    if moves(name):
        assert np.max(stale) > 3 * np.max(wrong)


def test_labels_stay_labels_and_the_image_float32_hu(name: str) -> None:
    image = marked()
    for seed in range(20):
        changed = policy(name)(image, seed, itself(image))
        assert changed.labels.dtype == np.uint8
        assert changed.labels.shape == image.labels.shape
        assert set(np.unique(changed.labels)) <= {0, 1, 2}
        assert changed.hu.dtype == np.float32
        assert changed.hu.shape == image.hu.shape
        assert np.isfinite(changed.hu).all()
        if not moves(name) and name != "copy_paste":
            np.testing.assert_array_equal(changed.labels, image.labels)


def test_result_depends_on_the_seed_alone(name: str) -> None:
    image, changing, again = marked(), policy(name), policy.__wrapped__(name)
    changing(image, 7, itself(image))  # earlier samples do not matter
    for seed in range(5):
        first, second = changing(image, seed, itself(image)), again(image, seed, itself(image))
        np.testing.assert_array_equal(first.hu, second.hu)
        np.testing.assert_array_equal(first.labels, second.labels)
    if changing.transforms:
        assert len({changing(image, seed, itself(image)).hu.tobytes() for seed in range(40)}) > 3


def test_input_slice_is_not_changed(name: str) -> None:
    image, untouched = marked(), marked()
    for seed in range(10):
        policy(name)(image, seed, itself(image))
    np.testing.assert_array_equal(image.hu, untouched.hu)
    np.testing.assert_array_equal(image.labels, untouched.labels)


@pytest.mark.parametrize("channels", [3, 5, 7])
def test_neighbouring_slices_are_changed_alike(name: str, channels: int) -> None:
    alone, several = marked(), marked(channels=channels)
    for seed in range(5):
        changed = policy(name)(several, seed, itself(several))
        assert changed.hu.shape == (128, 128, channels)
        if not noisy(name):
            single = policy(name)(alone, seed, itself(alone))
            np.testing.assert_allclose(changed.hu, np.repeat(single.hu, channels, axis=-1), atol=2e-3)
            np.testing.assert_array_equal(changed.labels, single.labels)


@pytest.mark.parametrize(("shape", "spacing_mm"), [((90, 140), (3.0, 2.0)), ((64, 33), (0.7, 5.0))])
def test_slices_have_any_shape_and_spacing(name: str, shape: tuple[int, int], spacing_mm: tuple[float, float]) -> None:
    image = marked(shape, spacing_mm=spacing_mm)
    for seed in range(5):
        changed = policy(name)(image, seed, itself(image))
        assert changed.hu.shape == (*shape, 1)
        assert changed.spacing_mm == spacing_mm


def test_no_structure_vanishes(name: str) -> None:
    """A liver at the edge with a tumour of one pixel would often be moved out or resampled away."""
    labels = np.zeros((64, 64), np.uint8)
    labels[:6, :6], labels[0, 0] = 1, 2
    image = Slice(labels.astype(np.float32)[..., None], labels, (3.0, 3.0))
    for seed in range(60):
        assert set(np.unique(policy(name)(image, seed, itself(image)).labels)) == {0, 1, 2}


def test_slices_may_lack_liver_and_training_may_lack_tumours(name: str) -> None:
    for labels in (np.zeros((64, 64), np.uint8), np.ones((64, 64), np.uint8)):
        image = Slice(np.full((64, 64, 1), -1000, np.float32), labels, (1.5, 1.5))
        for seed in range(5):
            changed = policy(name)(image, seed, nobody)
            assert changed.labels.max() == labels.max()
            assert np.isfinite(changed.hu).all()


def test_options_out_of_range_are_refused_by_name(name: str) -> None:
    node = compose("train", [f"augment={name}"]).augment
    for path, parent in options(node):
        wrong = node.copy()
        container = wrong[parent] if parent else wrong
        container[path] = [1, 0] if path in ("range_hu", "window_hu") else float("nan")
        with pytest.raises(LiverError, match=path):
            build(wrong)


def options(node: DictConfig, parent: str = "") -> list[tuple[str, str]]:
    found = []
    for key in node:
        if isinstance(node._get_node(key), DictConfig):
            found += options(node[key], str(key))
        elif not str(key).startswith("_"):
            found.append((str(key), parent))
    return found


def test_unknown_option_is_refused_by_name(name: str) -> None:
    node = compose("train", [f"augment={name}"]).augment
    assert get_method(node._target_).__doc__
    wrong = compose("train", [f"augment={name}", "+augment.amplitud=3"]).augment
    with pytest.raises(LiverError, match="amplitud"):
        build(wrong)
