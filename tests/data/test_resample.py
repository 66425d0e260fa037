import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lightning_liver.data.resample import grid_shape, resample_hu, resample_labels
from lightning_liver.errors import LiverError

SIZES = st.tuples(st.integers(4, 40), st.integers(4, 40))


def test_slices_of_more_pixels_than_are_read_are_refused() -> None:
    """A header with pixels of 25 mm makes a field of view of 13 m, and slices of 328 MB each."""
    with pytest.raises(LiverError, match=r"12800 x 12800 mm has 12800 x 12800; correct the spacing"):
        grid_shape((3, 512, 512), (2.0, 25.0, 25.0), 1.0)
    assert grid_shape((3, 512, 512), (2.0, 25.0, 25.0), 4.0) == (3, 3200, 3200)


def test_grid_keeps_slices_and_takes_the_nearest_spacing() -> None:
    assert grid_shape((80, 512, 512), (2.0, 0.7, 0.8), 1.5) == (80, 239, 273)
    assert grid_shape((80, 512, 512), (2.0, 0.7, 0.8), None) == (80, 512, 512)


@given(SIZES, SIZES, st.integers(-1000, 1000))
def test_a_flat_slice_stays_flat(shape: tuple[int, int], target: tuple[int, int], hu: int) -> None:
    assert np.all(resample_hu(np.full(shape, hu, np.int16), target) == hu)


def test_shrinking_by_two_is_the_mean_of_four() -> None:
    image = np.random.default_rng(0).integers(-500, 500, (24, 30)).astype(np.int16)
    expected = image.reshape(12, 2, 15, 2).mean(axis=(1, 3))
    assert np.abs(resample_hu(image, (12, 15)) - expected).max() <= 0.5


def test_resampling_does_not_shift_a_ramp() -> None:
    """Both grids span the same field of view: a shift by half a pixel would fail here."""
    ramp = np.tile(np.arange(0, 400, 10, dtype=np.int16), (10, 1))
    coarse = resample_hu(ramp, (10, 20)).astype(float)
    np.testing.assert_allclose(coarse[0], np.arange(5, 400, 20), atol=0.5)
    np.testing.assert_allclose(resample_hu(ramp, (10, 80))[0, 1:-1], np.arange(-2.5, 397.5, 5)[1:-1], atol=0.6)


@given(arrays(np.uint8, SIZES, elements=st.integers(0, 2)), SIZES)
def test_resampled_labels_have_no_new_value(labels: np.ndarray, target: tuple[int, int]) -> None:
    resampled = resample_labels(labels, target)
    assert resampled.shape == target
    assert resampled.dtype == np.uint8
    assert set(np.unique(resampled)) <= {0, *np.unique(labels).tolist(), 1}


@pytest.mark.parametrize("target", [(24, 20), (90, 70)])
def test_structures_keep_their_fraction(target: tuple[int, int]) -> None:
    y, x = np.mgrid[:48, :40]
    labels = ((y - 24) ** 2 + (x - 20) ** 2 < 200).astype(np.uint8) + ((y - 20) ** 2 + (x - 20) ** 2 < 40)
    resampled = resample_labels(labels.astype(np.uint8), target)
    for label in (1, 2):
        assert np.mean(resampled >= label) == pytest.approx(np.mean(labels >= label), rel=0.1)
