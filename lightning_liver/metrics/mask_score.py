"""Score of a mask beside its truth: every metric of a case, and volumes."""

from dataclasses import dataclass

from lightning_liver.metrics.case_metric import MaskPair, case_metrics
from lightning_liver.metrics.voxel_counts import voxel_ml


@dataclass(frozen=True)
class MaskScore:
    """Score of two masks.

    Args:
        metrics: by name, see metrics/case; None where undefined, see modes.py.
    """

    metrics: dict[str, float | None]
    true_ml: float
    predicted_ml: float
    true_voxels: int
    predicted_voxels: int
    common_voxels: int

    def row(self) -> dict[str, float | None]:
        """Return the columns of cases.csv."""
        volumes = {name: value for name, value in vars(self).items() if name != "metrics"}
        return self.metrics | volumes


def score_mask(masks: MaskPair) -> MaskScore:
    """Score a mask."""
    count, millilitres = masks.voxels, voxel_ml(masks.spacing_mm)
    return MaskScore(
        {name: metric.function(masks) for name, metric in case_metrics().items()},
        true_ml=count.true * millilitres,
        predicted_ml=count.predicted * millilitres,
        true_voxels=count.true,
        predicted_voxels=count.predicted,
        common_voxels=count.common,
    )
