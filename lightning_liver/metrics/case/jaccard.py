"""Jaccard index of a case, also known as intersection over union."""

from lightning_liver.metrics.case_metric import CaseMetric, MaskPair
from lightning_liver.metrics.intervals import FRACTION


def jaccard(masks: MaskPair) -> float:
    """Return common / union: 1 where both masks are empty."""
    count = masks.voxels
    union = count.true + count.predicted - count.common
    return count.common / union if union else 1.0


METRIC = CaseMetric(jaccard, "Jaccard", "higher", worst=0.0, bounds=FRACTION, position=2)
