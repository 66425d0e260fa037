"""Volumes that no liver has."""

from lightning_liver.metrics.volumetry import Volumetry

LEAST_LIVER_ML, MOST_LIVER_ML = (
    300,
    5000,
)  # a healthy adult's has 1000 to 2000 ml: doi:10.1053/jlts.2002.31654
_MOST_BURDEN_PERCENT = 90


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
