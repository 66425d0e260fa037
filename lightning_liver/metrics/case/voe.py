"""Volumetric overlap error of a case (Heimann et al. 2009), as a fraction."""

from lightning_liver.metrics.case.jaccard import jaccard
from lightning_liver.metrics.case_metric import CaseMetric, MaskPair
from lightning_liver.metrics.intervals import FRACTION


def voe(masks: MaskPair) -> float:
    """Return 1 - Jaccard."""
    return 1 - jaccard(masks)


METRIC = CaseMetric(voe, "Volumetric overlap error", "lower", short="VOE", worst=1.0, bounds=FRACTION, position=3)
