"""Volumes of liver and tumour in a label map."""

from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from lightning_liver.metrics.components import LPS, axial_diameters_mm, components
from lightning_liver.metrics.voxel_counts import SpacingMm, voxel_ml


class Volumetry(NamedTuple):
    """Volumes of one scan.

    Args:
        liver_ml: tumours included.
        tumour_count: parts of tumour connected by faces of voxels.
        largest_diameter_mm: the longest axial diameter of a tumour; None without tumour.
        burden_percent: 100 * tumour volume / liver volume; None without a liver.
    """

    liver_ml: float
    tumour_ml: float
    tumour_count: int
    largest_diameter_mm: float | None
    burden_percent: float | None


def measure_volumes(labels: UInt8[np.ndarray, "z y x"], spacing_mm: SpacingMm) -> Volumetry:
    """Measure a label map 0, 1 liver, 2 tumour."""
    liver, tumour = int(np.count_nonzero(labels)), int(np.count_nonzero(labels == 2))
    parts = components(labels == 2, LPS)
    count = len(parts.voxels)
    ml = voxel_ml(spacing_mm)
    largest = float(axial_diameters_mm(parts, spacing_mm).max()) if count else None
    return Volumetry(liver * ml, tumour * ml, count, largest, 100 * tumour / liver if liver else None)
