"""Histogram of HU in a store."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from lightning_liver.data.store import HU_BIN, HU_RANGE, hu_histogram

HU = arrays(np.int16, array_shapes(min_dims=2, max_dims=2, max_side=20), elements=st.integers(*HU_RANGE))


@given(HU)
def test_histogram_counts_as_numpy_does(pixels: np.ndarray) -> None:
    edges = np.arange(HU_RANGE[0], HU_RANGE[1] + HU_BIN + 1, HU_BIN)
    assert hu_histogram(pixels).tolist() == np.histogram(pixels, edges)[0].tolist()
