"""95th percentile of the Hausdorff distance of a case."""

import numpy as np

from lightning_liver.metrics.case_metric import CaseMetric, MaskPair
from lightning_liver.metrics.intervals import DISTANCE

_PERCENTILE = 95


def hd95_mm(masks: MaskPair) -> float | None:
    """Return the larger of both directions' 95th percentile."""
    ways = masks.distances
    return None if ways is None else float(max(np.percentile(way, _PERCENTILE) for way in ways))


METRIC = CaseMetric(
    hd95_mm, "Hausdorff distance, 95 %", "lower", short="HD95", unit="mm", decimals=2, bounds=DISTANCE, position=8
)
