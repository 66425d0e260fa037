"""Average symmetric surface distance of a case (Heimann et al. 2009)."""

from lightning_liver.metrics.case_metric import CaseMetric, MaskPair
from lightning_liver.metrics.intervals import DISTANCE


def assd_mm(masks: MaskPair) -> float | None:
    """Return the mean over the voxels of both surfaces."""
    return None if masks.distances is None else float(masks.distances.both.mean())


METRIC = CaseMetric(
    assd_mm, "Mean surface distance", "lower", short="ASSD", unit="mm", decimals=2, bounds=DISTANCE, position=5
)
