"""Dice of a case."""

from lightning_liver.metrics import voxel_counts
from lightning_liver.metrics.case_metric import CaseMetric, MaskPair
from lightning_liver.metrics.intervals import FRACTION

DICE_PER_CASE = "Dice per case"  # display name of the mean
MONITORED = "val/mean/dice_per_case"  # logged at every validation; selects the best checkpoint


def dice(masks: MaskPair) -> float:
    """Return 2 common / (true + predicted): 1 where both masks are empty, 0 where only one of them is."""
    return voxel_counts.dice(masks.voxels)


METRIC = CaseMetric(dice, "Dice", "higher", worst=0.0, mean_name="dice_per_case", bounds=FRACTION, position=1)
