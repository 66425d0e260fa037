"""Root mean square symmetric surface distance of a case (Heimann et al. 2009)."""

import numpy as np

from lightning_liver.metrics.case_metric import CaseMetric, MaskPair
from lightning_liver.metrics.intervals import DISTANCE


def rmsd_mm(masks: MaskPair) -> float | None:
    """Return the root mean square over the voxels of both surfaces."""
    return None if masks.distances is None else float(np.sqrt(np.square(masks.distances.both).mean()))


METRIC = CaseMetric(
    rmsd_mm, "RMS surface distance", "lower", short="RMSD", unit="mm", decimals=2, bounds=DISTANCE, position=6
)
