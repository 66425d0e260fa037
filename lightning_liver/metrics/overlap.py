"""Overlap of label maps: counts of voxels, and Dice computed from them.

The Dice of a case is computed from the counts of all its slices. The mean of Dice over batches or slices is another
number (segmentation_models.pytorch #712): only counts may be added up.
"""

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from lightning_liver.errors import LiverError
from lightning_liver.types import STRUCTURES
from lightning_liver.types.tensors import LabelMaps
from lightning_liver.volume import LABELS

Counts = Int64[Tensor, "cls 3"]  # true positive, false positive, false negative voxels
Table = Int64[Tensor, "case cls 3"]


def counts(prediction: LabelMaps, truth: LabelMaps) -> Counts:
    """Count true positive, false positive and false negative voxels of liver (tumours included) and of tumour.

    Args:
        prediction, truth: label maps 0, 1, 2 of one shape, (batch, height, width).

    Returns:
        (cls, 3) on the device of the input. Counts of parts of a volume add up to the counts of the volume.

    Raises:
        LiverError: the shapes differ, or a label is above 2.
    """
    confusion = _count_pairs(prediction, truth)
    rows = [_count_one_against_rest(confusion, label) for label in range(1, len(LABELS))]
    return torch.stack(rows)


def dice(counts: Int64[Tensor, "*many 3"]) -> Float64[Tensor, "*many"]:
    """Return Dice, 2 TP / (2 TP + FP + FN): 1 where truth and prediction are both empty, 0 where only one of them is.

    Computed in float64 on the CPU, since not every accelerator supports it.
    """
    tp, fp, fn = counts.cpu().double().unbind(-1)
    total = 2 * tp + fp + fn
    return torch.where(total == 0, 1.0, 2 * tp / total)


def dice_per_case(table: Table) -> Float64[Tensor, " cls"]:
    """Return the mean Dice of cases; NaN without a case. A row never updated counts as empty: 1."""
    return dice(table).mean(dim=0)


def dice_global(table: Table) -> Float64[Tensor, " cls"]:
    """Return the Dice of all voxels as one case: large structures have more weight than small ones."""
    return dice(table.sum(dim=0))


def empty(cases: int) -> Table:
    """Return a table of zeros; tables of several processes are merged by their sum."""
    return torch.zeros(cases, len(STRUCTURES), 3, dtype=torch.int64)


def update(table: Table, case_index: Int64[Tensor, " batch"], prediction: LabelMaps, truth: LabelMaps) -> None:
    """Add slices to the rows of their cases, in place.

    Args:
        table: from empty, on the device of the slices.
        case_index: row of each slice's case.
        prediction, truth: as in counts.
    """
    for case in sorted(set(case_index.tolist())):
        mine = case_index == case
        table[case] += counts(prediction[mine], truth[mine])


def _count_pairs(prediction: LabelMaps, truth: LabelMaps) -> Int64[Tensor, "truth prediction"]:
    if prediction.shape != truth.shape:
        raise LiverError(
            f"expected equal shapes, got prediction {tuple(prediction.shape)} and truth {tuple(truth.shape)}"
        )
    for name, labels in (("prediction", prediction), ("truth", truth)):
        if labels.numel() and (seen := int(labels.max())) >= len(LABELS):
            raise LiverError(f"the {name} has label {seen}, but labels are 0 background, 1 liver and 2 tumour")
    pairs = truth.reshape(-1) * len(LABELS) + prediction.reshape(-1)
    return torch.bincount(pairs, minlength=len(LABELS) ** 2).reshape(len(LABELS), len(LABELS))


def _count_one_against_rest(confusion: Int64[Tensor, "truth prediction"], label: int) -> Int64[Tensor, "3"]:
    """Count the structure that consists of this label and all above it."""
    tp = confusion[label:, label:].sum()
    fp = confusion[:label, label:].sum()
    fn = confusion[label:, :label].sum()
    return torch.stack((tp, fp, fn))
