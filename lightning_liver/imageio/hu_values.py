"""Signs that the values of a scan are not HU."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int16

_LABELS = 10  # a label map has fewer values; a CT of so few is none
_BYTE = 255


class Doubt(NamedTuple):
    """Reason why values can hardly be HU.

    Args:
        is_label_map: no scan has such values; the others may come from a scan in another unit.
    """

    reason: str
    is_label_map: bool


def doubtful_values(hu: Int16[np.ndarray, "z y x"]) -> Doubt | None:
    """Return why the values of a scan can hardly be HU, None if nothing speaks against it.

    Air has -1000 HU and fat -100 HU, so a scan of a body has negative values, also one that is cut out of it.
    """
    low, high = int(hu.min()), int(hu.max())
    if low == high:
        return Doubt(f"every voxel has the value {low}, which is no CT; give a scan in HU", False)
    if low < 0:
        return None
    seen = f"the values go from {low} to {high}"
    if high <= _LABELS or (low == 0 and high <= _BYTE and _has_few_values(hu)):
        return Doubt(f"{seen}, as those of a label map; give the scan, in HU", True)
    if high <= _BYTE:
        return Doubt(f"{seen}, as those of a picture of 8 bits; give the scan, in HU", False)
    return Doubt(f"{seen}, as those of a CT whose offset of -1024 is missing; convert them to HU", False)


def _has_few_values(hu: Int16[np.ndarray, "z y x"]) -> bool:
    found: set[int] = set()
    for pixels in hu:
        found.update(np.flatnonzero(np.bincount(pixels.ravel())).tolist())
        if len(found) > _LABELS:
            return False
    return True
