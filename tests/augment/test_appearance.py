"""Intensity, resolution, artefacts and occlusion."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_liver.augment.intensity import Intensity
from lightning_liver.errors import LiverError
from lightning_liver.volume import Slice
from tests.augment.marked import marked, nobody, policy

WINDOW = (-160.0, 240.0)


def jitter() -> Intensity:
    return Intensity(shift_hu=25, width=0.2, contrast=0.25, gamma=0.3, window_hu=WINDOW, probability=1)


@given(st.integers(0, 10**6))
def test_intensity_equals_its_formula(seed: int) -> None:
    changing = jitter()
    changing.set_random_seed(seed)
    hu = np.random.default_rng(seed).uniform(-1000, 1000, (16, 16, 1)).astype(np.float32)
    drawn = changing.parameters(hu, (1, 1))
    seen = np.clip((hu.astype(float) - (40 + drawn["shift_hu"])) * drawn["zoom"] / 400 + 0.5, 0, 1)
    seen = np.clip((seen - seen.mean()) * drawn["contrast"] + seen.mean(), 0, 1)
    np.testing.assert_allclose(changing.apply(hu, **drawn), seen ** drawn["power"] * 400 - 160, atol=0.02)


def test_shifted_window_shows_values_beyond_the_old_one() -> None:
    """270 and 290 HU look alike through the window of training; through one 50 HU higher they do not."""
    hu = np.array([[[270.0], [290.0]]], np.float32)
    still = {"zoom": 1.0, "contrast": 1.0, "power": 1.0}
    seen = jitter().apply(hu, shift_hu=50.0, **still)
    assert seen[0, 1, 0] - seen[0, 0, 0] == pytest.approx(20, abs=0.1)
    assert np.ptp(jitter().apply(hu, shift_hu=0.0, **still)) == 0


def test_gamma_is_as_often_below_one_as_above() -> None:
    changing = jitter()
    changing.set_random_seed(0)
    powers = [changing.parameters(np.zeros((1, 1, 1), np.float32), (1, 1))["power"] for _ in range(2000)]
    assert np.mean(np.array(powers) > 1) == pytest.approx(0.5, abs=0.05)
    assert 1 / 1.3 <= min(powers) < max(powers) <= 1.3


def test_reversed_window_is_refused() -> None:
    with pytest.raises(LiverError, match=r"augment\.window_hu=\[240, -160\]: expected a first value below the second"):
        policy("intensity", window_hu="[240,-160]")


def impulse(spacing_mm: tuple[float, float]) -> Slice:
    hu = np.zeros((65, 65, 1), np.float32)
    hu[32, 32] = 1000
    return Slice(hu, np.zeros((65, 65), np.uint8), spacing_mm)


def test_blur_is_as_wide_in_millimetres_along_both_axes() -> None:
    y, x = np.mgrid[:65, :65] - 32
    widths = []
    for seed in range(40):
        spread = policy("blur", sigma_mm=6)(impulse((3.0, 1.5)), seed, nobody).hu[..., 0] / 1000
        assert spread.sum() == pytest.approx(1, abs=1e-3)
        along = [np.sqrt((spread * axis**2).sum()) * mm for axis, mm in ((y, 3.0), (x, 1.5))]
        if along[0] > 3:
            assert along[0] == pytest.approx(along[1], rel=0.12)
        widths.append(along[1])
    assert max(widths) <= 6.1
    assert max(widths) > 5


def test_low_resolution_removes_detail_but_not_from_coarser_slices() -> None:
    rng = np.random.default_rng(0)
    fine = Slice(rng.normal(0, 100, (64, 64, 1)).astype(np.float32), np.zeros((64, 64), np.uint8), (1.5, 1.5))
    rough = [np.std(np.diff(policy("low_resolution")(fine, seed, nobody).hu, axis=0)) for seed in range(20)]
    assert max(rough) < np.std(np.diff(fine.hu, axis=0))
    coarse = fine._replace(spacing_mm=(6.0, 6.5))
    np.testing.assert_array_equal(policy("low_resolution")(coarse, 1, nobody).hu, fine.hu)


@pytest.mark.parametrize(("name", "amplitude"), [("streak", 100.0), ("ring", 40.0)])
def test_artefacts_are_as_strong_as_their_amplitude(name: str, amplitude: float) -> None:
    image = Slice(np.zeros((128, 128, 1), np.float32), np.zeros((128, 128), np.uint8), (3.0, 3.0))
    peaks = [np.abs(policy(name)(image, seed, nobody).hu).max() for seed in range(60)]
    assert max(peaks) < 2 * amplitude, "where several meet they add up"
    assert np.mean(peaks) == pytest.approx(amplitude / 2, rel=0.5)


def test_rings_are_round_in_millimetres() -> None:
    image = Slice(np.zeros((100, 200, 1), np.float32), np.zeros((100, 200), np.uint8), (4.0, 2.0))
    ring = policy("ring", count=1, width_mm=6)(image, 3, nobody).hu[..., 0]
    strength = np.abs(ring)
    y, x = np.nonzero(strength > 0.6 * strength.max())
    centre_mm = (y.min() + y.max()) / 2 * 4, (x.min() + x.max()) / 2 * 2
    radius = np.hypot(y * 4 - centre_mm[0], x * 2 - centre_mm[1])
    assert np.std(radius) < 8
    assert np.ptp(y) * 4 == pytest.approx(np.ptp(x) * 2, rel=0.15)


def test_streaks_run_through_one_place() -> None:
    """Along a streak the sign stays and the strength falls, so that the strongest pixel is beside the origin."""
    image = Slice(np.zeros((128, 128, 1), np.float32), np.zeros((128, 128), np.uint8), (3.0, 3.0))
    ratios = []
    for seed in range(20):
        streaks = np.abs(policy("streak")(image, seed, nobody).hu[..., 0])
        distance = np.hypot(
            *(np.mgrid[:128, :128] - np.array(np.unravel_index(np.argmax(streaks), (128, 128)))[:, None, None])
        )
        ratios.append(streaks[distance < 10].mean() / streaks.mean())
    assert np.median(ratios) > 1.5


def test_cutout_covers_squares_of_its_size_and_keeps_labels() -> None:
    image = Slice(np.full((128, 128, 1), 77, np.float32), np.ones((128, 128), np.uint8), (3.0, 1.5))
    for seed in range(30):
        changed = policy("cutout", count=1, size_mm=60)(image, seed, nobody)
        rows, columns = np.nonzero(changed.hu[..., 0] != 77)
        if len(rows) and rows.min() > 0 and rows.max() < 127 and columns.min() > 0 and columns.max() < 127:
            assert (np.ptp(rows) + 1) * 3 == pytest.approx((np.ptp(columns) + 1) * 1.5, abs=3)
            assert 30 - 3 <= (np.ptp(rows) + 1) * 3 <= 60 + 3
        np.testing.assert_array_equal(changed.labels, image.labels)
    assert set(np.unique(policy("cutout", fill_hu=-50)(marked(), 1, nobody).hu)) <= {-160, 40, 240, -50}
