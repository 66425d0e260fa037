"""Signs that a scan is not in HU, and volumes that no liver has."""

import numpy as np
from jaxtyping import Int16

from lightning_liver.metrics.volumetry import Volumetry

_LABELS = 10  # a label map has fewer labels; a CT of so few values is none
_BYTE = 255
LEAST_LIVER_ML, MOST_LIVER_ML = (
    300,
    5000,
)  # a healthy adult's has 1000 to 2000 ml: doi:10.1053/jlts.2002.31654
_MOST_BURDEN_PERCENT = 90


def doubtful_values(hu: Int16[np.ndarray, "z y x"]) -> str:
    """Return why the values of a scan can hardly be HU, "" if nothing speaks against it.

    Air has -1000 HU and fat -100 HU, so a scan of a body has negative values, also one that is cut out of it.
    """
    low, high = int(hu.min()), int(hu.max())
    if low == high:
        return f"every voxel has the value {low}, which is no CT; give a scan in HU"
    if low < 0:
        return ""
    seen = f"the values go from {low} to {high}"
    if high <= _LABELS:
        return f"{seen}, as those of a label map; give the scan, in HU"
    if high <= _BYTE:
        return f"{seen}, as those of a picture of 8 bits; give the scan, in HU"
    return f"{seen}, as those of a CT whose offset of -1024 is missing; convert them to HU"


def doubtful_volumes(found: Volumetry) -> list[str]:
    """Return what is hardly possible in the volumes of a label map."""
    doubts = []
    if found.liver_ml > MOST_LIVER_ML:
        doubts.append(
            f"{found.liver_ml:.0f} ml of liver are hardly possible, an adult has 1000 to 2000 ml; check that the "
            "values are HU and the spacing is in mm"
        )
    if 0 < found.liver_ml < LEAST_LIVER_ML:
        doubts.append(
            f"{found.liver_ml:.0f} ml of liver are less than a whole one, an adult has 1000 to 2000 ml; check that the "
            "scan shows all of it"
        )
    if (found.burden_percent or 0) > _MOST_BURDEN_PERCENT:
        doubts.append(f"{found.burden_percent:.0f} % of the liver is tumour, hardly possible; look at the mask")
    return doubts
