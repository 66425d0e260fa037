"""Effort of correcting a predicted mask until it is the true one."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, UInt8
from scipy import ndimage

from lightning_liver.metrics.voxel_counts import SpacingMm

_FOUR_NEIGHBOURS = ndimage.generate_binary_structure(2, 1)[None]  # within an axial slice


class CorrectionEffort(NamedTuple):
    """Effort of an expert's correction.

    Args:
        slices: axial slices with a voxel to change.
        voxels: voxels whose label changes.
        contour_mm: added path length: contour of liver and of tumour to draw that the prediction does not have, mm.
    """

    slices: int
    voxels: int
    contour_mm: float


def correction_effort(
    truth: UInt8[np.ndarray, "z y x"], prediction: UInt8[np.ndarray, "z y x"], spacing_mm: SpacingMm
) -> CorrectionEffort:
    """Measure how far a predicted label map 0, 1 liver, 2 tumour is from the true one.

    The added path length counts the pixels of the true contour, in axial slices, that are not on the predicted one,
    each as the mean edge of a pixel. What only has to be erased costs voxels, and no contour.

    Args:
        spacing_mm: along z, y and x.

    Source: Vaassen et al. 2020, doi:10.1016/j.phro.2019.12.001.
    """
    changed = truth != prediction
    touched = np.flatnonzero(changed.any(axis=(1, 2)))
    redrawn = sum(
        int((_contour(truth[touched] >= label) & ~_contour(prediction[touched] >= label)).sum()) for label in (1, 2)
    )
    return CorrectionEffort(len(touched), int(changed.sum()), redrawn * (spacing_mm[1] + spacing_mm[2]) / 2)


def _contour(mask: Bool[np.ndarray, "z y x"]) -> Bool[np.ndarray, "z y x"]:
    """Return the pixels of a mask with a neighbour in the slice outside of it; the slice's edge is no neighbour."""
    return mask & ~ndimage.binary_erosion(mask, _FOUR_NEIGHBOURS, border_value=1)
