"""Relative volume difference of a case (Heimann et al. 2009), as a fraction."""

from lightning_liver.metrics.case_metric import CaseMetric, MaskPair


def rvd(masks: MaskPair) -> float | None:
    """Return (predicted - true) / true; the official scorer has (true - predicted) / predicted."""
    return masks.mode.rvd(masks.voxels)


METRIC = CaseMetric(rvd, "Relative volume difference", "nearer to 0", short="RVD", position=4)
