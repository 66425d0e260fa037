"""Effort of correcting a mask, against counting by hand and by loops."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lightning_liver.metrics.correction_effort import correction_effort

Labels = arrays(np.uint8, (2, 5, 4), elements=st.integers(0, 2))


def contour(mask: np.ndarray) -> set[tuple[int, int, int]]:
    """Return the pixels with one of four neighbours in the slice outside of the mask, written out."""
    _, height, width = mask.shape
    found = set()
    for z, y, x in zip(*np.nonzero(mask), strict=True):
        around = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
        if any(0 <= b < height and 0 <= a < width and not mask[z, b, a] for b, a in around):
            found.add((int(z), int(y), int(x)))
    return found


@given(truth=Labels, prediction=Labels)
def test_effort_equals_loops(truth: np.ndarray, prediction: np.ndarray) -> None:
    effort = correction_effort(truth, prediction, (3.0, 0.5, 1.5))
    changed = [z for z in range(2) if (truth[z] != prediction[z]).any()]
    redrawn = {
        (label, *place)
        for label in (1, 2)
        for place in contour(truth >= label) - contour(prediction >= label)
        if place[0] in changed
    }
    assert effort.slices == len(changed)
    assert effort.voxels == (truth != prediction).sum()
    assert effort.contour_mm == pytest.approx(len(redrawn) * 1.0)


def test_a_square_from_nothing_costs_its_own_contour_and_an_equal_mask_nothing() -> None:
    truth = np.zeros((3, 10, 10), np.uint8)
    truth[1, 2:7, 2:7] = 1
    assert correction_effort(truth, np.zeros_like(truth), (5.0, 2.0, 2.0)) == (1, 25, 16 * 2.0)
    assert correction_effort(truth, truth, (5.0, 2.0, 2.0)) == (0, 0, 0.0)


def test_what_is_only_erased_costs_no_contour() -> None:
    truth = np.zeros((1, 10, 10), np.uint8)
    assert correction_effort(truth, np.ones_like(truth), (5.0, 2.0, 2.0)) == (1, 100, 0.0)
