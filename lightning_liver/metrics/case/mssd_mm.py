"""Maximum symmetric surface distance of a case, or Hausdorff distance (Heimann et al. 2009)."""

from lightning_liver.metrics.case_metric import CaseMetric, MaskPair
from lightning_liver.metrics.intervals import DISTANCE


def mssd_mm(masks: MaskPair) -> float | None:
    """Return the maximum over the voxels of both surfaces."""
    return None if masks.distances is None else float(masks.distances.both.max())


METRIC = CaseMetric(
    mssd_mm, "Largest surface distance", "lower", short="MSSD", unit="mm", decimals=2, bounds=DISTANCE, position=7
)
