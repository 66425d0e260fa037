"""Thresholds with the best Dice on validation cases.

A joint histogram of liver and tumour probability by case and true label makes Dice of the label maps exact at every
edge of a bin, tumours outside of the liver included. Tables of processes that saw other slices are merged by their sum.
"""

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from lightning_liver.metrics.overlap import dice
from lightning_liver.types import STRUCTURES
from lightning_liver.types.tensors import LabelMaps, Masks
from lightning_liver.volume import LABELS

Table = Int64[Tensor, "case label liver_bin tumour_bin"]
Thresholds = tuple[float, float]  # of liver and of tumour

HALF: Thresholds = (0.5, 0.5)
BINS = 128

_EQUAL = 1e-9  # differences of Dice below it are rounding


def empty(cases: int) -> Table:
    """Return a table without pixels."""
    return torch.zeros(cases, len(LABELS), BINS, BINS, dtype=torch.int64)


def update(table: Table, case_index: Int64[Tensor, " batch"], logits: Masks, labels: LabelMaps) -> None:
    """Count the pixels of slices in place: bin b holds probabilities above b / BINS, up to (b + 1) / BINS."""
    bins = (logits.float().sigmoid() * BINS).ceil().long().sub_(1).clamp_(0, BINS - 1)
    places = (labels.long() * BINS + bins[:, 0]) * BINS + bins[:, 1]
    for case, of_slice in zip(case_index.tolist(), places, strict=True):
        counted = torch.bincount(of_slice.flatten(), minlength=len(LABELS) * BINS**2)
        table[case] += counted.reshape(table.shape[1:]).to(table.device)


def edges() -> Float64[Tensor, " edge"]:
    """Return the thresholds at which Dice is known: all edges between bins."""
    return torch.arange(1, BINS, dtype=torch.float64) / BINS


def tumour_dice(table: Table) -> Float64[Tensor, "case edge"]:
    """Return each case's tumour Dice with each edge as threshold; 1 where both masks are empty."""
    return _dice(*_above(table.sum(dim=2), of=2))


def liver_dice(table: Table, tumour: float) -> Float64[Tensor, "case edge"]:
    """Return each case's liver Dice with each edge as threshold, given the threshold of tumour."""
    cut = round(tumour * BINS)
    certain = table[..., cut:].sum(dim=(2, 3))  # labelled as tumour, thus as liver
    true, false = _above(table[..., :cut].sum(dim=3), of=1)[:2]
    positives = table[:, 1:].sum(dim=(1, 2, 3))[:, None]
    return _dice(true + certain[:, 1:].sum(dim=1, keepdim=True), false + certain[:, :1], positives)


def best(table: Table) -> Thresholds:
    """Return the tumour threshold with the best mean Dice over cases, then the liver's; one half without a case.

    Equally good thresholds form stretches: the middle of the stretch nearest to one half is taken.
    """
    if not len(table):
        return HALF
    tumour = _middle_of_best(tumour_dice(table).mean(dim=0))
    return (_middle_of_best(liver_dice(table, tumour).mean(dim=0)), tumour)


def mean_dice(table: Table, thresholds: Thresholds) -> dict[str, float]:
    """Return the mean Dice over cases by structure, at thresholds that are edges."""
    of_structure = (liver_dice(table, thresholds[1]), tumour_dice(table))
    return {
        structure: float(of_structure[c].mean(dim=0)[round(thresholds[c] * BINS) - 1])
        for c, structure in enumerate(STRUCTURES)
    }


def _above(counts: Int64[Tensor, "case label bin"], *, of: int) -> tuple[Tensor, Tensor, Tensor]:
    """Count true and false positives at every edge, (case, edge), and positives, (case, 1); true from label `of`."""
    above = counts.flip(-1).cumsum(-1).flip(-1)[..., 1:]
    return above[:, of:].sum(dim=1), above[:, :of].sum(dim=1), counts[:, of:].sum(dim=(1, 2))[:, None]


def _dice(true: Tensor, false: Tensor, positives: Tensor) -> Float64[Tensor, "case edge"]:
    return dice(torch.stack((true, false, positives - true), dim=-1))


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
