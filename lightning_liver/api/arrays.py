"""Arrays of a caller, checked, as volumes of the package."""

from collections.abc import Sequence
from warnings import warn

import numpy as np
from numpy.typing import ArrayLike

from lightning_liver.errors import LiverError, LiverWarning
from lightning_liver.imageio.hu_values import doubtful_values
from lightning_liver.volume import Volume

_INT16 = np.iinfo(np.int16)


def volume_of(volume_hu: ArrayLike, spacing_mm: Sequence[float]) -> Volume:
    """Return an array of HU (z, y, x) in LPS as a volume, rounded to whole HU; warn of values that are hardly HU.

    Raises:
        LiverError: not three dimensions, no voxel, values that are not finite or outside int16, an invalid spacing.
    """
    hu = np.asarray(volume_hu)
    if hu.ndim != 3 or not hu.size or hu.dtype.kind not in "iuf":
        raise LiverError(
            f"volume_hu: expected numbers (z, y, x), got {hu.dtype} of shape {hu.shape}; pass one whole scan in HU"
        )
    low, high = float(hu.min()), float(hu.max())
    if not (_INT16.min <= low <= high <= _INT16.max):
        raise LiverError(f"volume_hu: expected HU, got values from {low:g} to {high:g}; rescale them to HU")
    z_mm, y_mm, x_mm = spacing = spacing_of(spacing_mm)
    whole = np.rint(hu).astype(np.int16)
    if doubt := doubtful_values(whole):
        warn(f"volume_hu: {doubt.reason}", LiverWarning, stacklevel=4)
    return Volume(whole, spacing, np.diag([-x_mm, -y_mm, z_mm, 1.0]))


def spacing_of(spacing_mm: Sequence[float]) -> tuple[float, float, float]:
    """Return the spacing along z, y and x.

    Raises:
        LiverError: it is not three positive numbers.
    """
    values = np.asarray(spacing_mm, dtype=float).ravel()
    if values.size != 3 or not (np.isfinite(values) & (values > 0)).all():
        raise LiverError(f"spacing_mm={spacing_mm}: expected three positive numbers, along z, y and x")
    z, y, x = values.tolist()
    return z, y, x
