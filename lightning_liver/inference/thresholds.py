"""Which probability is enough: thresholds that give the best Dice on validation cases, and only there.

Probabilities are counted in bins, case by case, so that Dice is exact at every edge of a bin and nothing is kept but
counts: tables of processes that saw other slices are merged by their sum.
"""

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from lightning_liver.inference.volumes import multi_hot
from lightning_liver.metrics.overlap import dice
from lightning_liver.types import STRUCTURES, LabelMaps, Masks

Table = Int64[Tensor, "case cls truth bin"]
Thresholds = tuple[float, float]  # of liver and of tumour

HALF: Thresholds = (0.5, 0.5)
BINS = 256

_EQUAL = 1e-9  # differences of Dice below it are rounding


def empty(cases: int) -> Table:
    return torch.zeros(cases, len(STRUCTURES), 2, BINS, dtype=torch.int64)


def update(table: Table, case_index: Int64[Tensor, " batch"], logits: Masks, labels: LabelMaps) -> None:
    """Count the pixels of slices in place: bin b holds probabilities above b / BINS, up to (b + 1) / BINS."""
    bins = (logits.float().sigmoid() * BINS).ceil().long().sub_(1).clamp_(0, BINS - 1)
    truth = multi_hot(labels).long()
    for row, case in enumerate(case_index.tolist()):
        for c in range(len(STRUCTURES)):
            index = truth[row, c] * BINS + bins[row, c]
            table[case, c] += torch.bincount(index.flatten(), minlength=2 * BINS).reshape(2, BINS).to(table.device)


def edges() -> Float64[Tensor, " edge"]:
    """The thresholds at which Dice is known: all edges between bins."""
    return torch.arange(1, BINS, dtype=torch.float64) / BINS


def dice_at_edges(table: Table) -> Float64[Tensor, "case cls edge"]:
    """Dice of every case were its voxels with a probability above the edge predicted; 1 where both are empty."""
    above = table.flip(-1).cumsum(-1).flip(-1)[..., 1:]
    positives = table[:, :, 1].sum(-1, keepdim=True)
    tp, fp = above[:, :, 1], above[:, :, 0]
    return dice(torch.stack((tp, fp, positives - tp), dim=-1))


def best(table: Table) -> Thresholds:
    """For each structure the threshold with the best mean Dice of cases; one half without a case.

    Thresholds that are as good stand side by side in stretches: the middle of the stretch nearest to one half is taken.
    """
    if not len(table):
        return HALF
    means = dice_at_edges(table).mean(dim=0)
    liver, tumour = (_middle_of_best(means[c]) for c in range(len(STRUCTURES)))
    return (liver, tumour)


def mean_dice(table: Table, thresholds: Thresholds) -> dict[str, float]:
    """Mean Dice of cases by structure at thresholds that are edges."""
    at_edges = dice_at_edges(table).mean(dim=0)
    return {s: float(at_edges[c][round(thresholds[c] * BINS) - 1]) for c, s in enumerate(STRUCTURES)}


def _middle_of_best(means: Float64[Tensor, " edge"]) -> float:
    good = (means >= means.max() - _EQUAL).nonzero().flatten().tolist()
    stretches: list[list[int]] = []
    for place in good:
        if stretches and place == stretches[-1][-1] + 1:
            stretches[-1].append(place)
        else:
            stretches.append([place])
    middles = [stretch[len(stretch) // 2] for stretch in stretches]
    return min((float(edges()[middle]) for middle in middles), key=lambda edge: abs(edge - 0.5))
