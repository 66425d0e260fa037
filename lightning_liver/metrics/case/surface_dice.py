"""Surface Dice of a case (Nikolov et al. 2018, arXiv:1809.04430), counting voxels where they measure area."""

from lightning_liver.metrics.case_metric import CaseMetric, MaskPair
from lightning_liver.metrics.intervals import FRACTION


def surface_dice(masks: MaskPair) -> float:
    """Return the fraction of both surfaces' voxels within the tolerance of the other surface.

    1 where both masks are empty, 0 where only one of them is.
    """
    if masks.distances is None:
        return float(not masks.truth.any() and not masks.prediction.any())
    return float((masks.distances.both <= masks.tolerance_mm).mean())


METRIC = CaseMetric(surface_dice, "Surface Dice", "higher", worst=0.0, bounds=FRACTION, position=9)
