"""Volumes and overlap of a structure, from three counts of voxels.

Definitions: Heimann et al. 2009, doi:10.1109/TMI.2009.2013851 (RVD as a fraction, not in percent).
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool

from lightning_liver.errors import LiverError

SpacingMm = tuple[float, float, float]  # between voxel centres along z, y and x


class Voxels(NamedTuple):
    """Numbers of voxels of the truth, of the prediction, and of both."""

    true: int
    predicted: int
    common: int


def count_voxels(truth: Bool[np.ndarray, "z y x"], prediction: Bool[np.ndarray, "z y x"]) -> Voxels:
    """Count the voxels of two masks of one shape."""
    return Voxels(*(int(np.count_nonzero(mask)) for mask in (truth, prediction, truth & prediction)))


def dice(count: Voxels) -> float:
    """Return 2 common / (true + predicted): 1 where both are empty, 0 where only one of them is."""
    size = count.true + count.predicted
    return 2 * count.common / size if size else 1.0


def rvd(count: Voxels) -> float | None:
    """Return the relative volume difference, (predicted - true) / true, signed; None without a true voxel."""
    return (count.predicted - count.true) / count.true if count.true else None


def swapped_rvd(count: Voxels) -> float | None:
    """Return (true - predicted) / predicted, as the LiTS scorer does; None where either is empty."""
    return (count.true - count.predicted) / count.predicted if count.true and count.predicted else None


def voxel_ml(spacing_mm: SpacingMm) -> float:
    """Return the volume of a voxel in millilitres.

    Raises:
        LiverError: the spacing is not three positive numbers.
    """
    if len(spacing_mm) != 3 or not all(mm > 0 and math.isfinite(mm) for mm in spacing_mm):
        raise LiverError(f"spacing_mm={spacing_mm}: expected three positive numbers along z, y and x")
    return math.prod(spacing_mm) / 1000
