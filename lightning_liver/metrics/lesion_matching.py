"""Which predicted lesion belongs to which reference lesion, and what counts as detected.

Both ways of counting group the lesions alike (the LiTS scorer's merge-and-match, Vorontsov 2017):

1. Each reference lesion goes to the predicted one that covers most of it; those that go to one prediction are merged.
2. Each predicted lesion is matched to the merged reference lesion with which it shares most voxels; those matched to
   one are merged too.
3. A pair is detected where its overlap, intersection over union, is above a threshold.

Where two share equally many voxels, the one that comes first in the file has it.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64

from lightning_liver.metrics.components import Components, meeting

Table = Int64[np.ndarray, "predicted reference"]


class Pair(NamedTuple):
    """Predicted and reference lesions, by number, that are taken as one each.

    Args:
        overlap: what is compared with the threshold.
    """

    predicted: tuple[int, ...]
    reference: tuple[int, ...]
    overlap: float


class Overlaps(NamedTuple):
    """Voxels that predicted (rows) and reference lesions (columns) share, and that each has."""

    shared: Table
    predicted: Int64[np.ndarray, " predicted"]
    reference: Int64[np.ndarray, " reference"]


class Detection(NamedTuple):
    """Lesions counted at a threshold.

    Args:
        tp, fp, fn: true positive, false positive and false negative, as the mode counts them.
        detected: the pairs above the threshold.
        pairs: all of them.
    """

    tp: int
    fp: int
    fn: int
    detected: tuple[Pair, ...]
    pairs: tuple[Pair, ...]


Match = Callable[[Overlaps, float], Detection]


def overlaps(prediction: Components, reference: Components, shape: tuple[int, ...]) -> Overlaps:
    """The voxels that the lesions of two masks of this shape share."""
    rows, columns = len(prediction.voxels), len(reference.voxels)
    pairs = meeting(prediction.runs, reference.runs, shape)
    mine, theirs = prediction.runs[pairs[:, 0]], reference.runs[pairs[:, 1]]
    voxels = np.minimum(mine[:, 3], theirs[:, 3]) - np.maximum(mine[:, 2], theirs[:, 2])
    predicted = np.searchsorted(prediction.starts, pairs[:, 0], side="right") - 1
    true = np.searchsorted(reference.starts, pairs[:, 1], side="right") - 1
    shared = np.zeros((rows, columns), np.int64)
    np.add.at(shared, (predicted, true), voxels)
    return Overlaps(shared, prediction.voxels, reference.voxels)


def corrected(lesions: Overlaps, threshold: float) -> Detection:
    """Count as veugene/lits-challenge-scoring does (branch clinical_eval, 2018).

    True positive are the reference lesions of detected pairs, each of those that were merged; false positive the
    predicted lesions of the other pairs, and those that touch no reference lesion; false negative the other reference
    lesions. So true positive and false negative ones add up to the reference lesions. (The fork's program ends with an
    error where merged reference lesions are missed; here each of them counts.) What that program does before it counts,
    joining parts of the reference that are two pixels apart, is not done.
    """
    pairs = tuple(
        Pair(predicted, reference, _overlap(lesions, predicted, predicted, reference))
        for predicted, reference in _groups(lesions.shared)
    )
    detected = tuple(pair for pair in pairs if pair.overlap > threshold)
    tp = sum(len(pair.reference) for pair in detected)
    matched = sum(len(pair.predicted) for pair in detected)
    return Detection(tp, len(lesions.predicted) - matched, len(lesions.reference) - tp, detected, pairs)


def official(lesions: Overlaps, threshold: float) -> Detection:
    """Count as PatrickChrist/lits-challenge-scoring does, for which detected lesions are pairs.

    Two things of it are told so that nobody takes them for meant. A pair that is missed takes away as many as reference
    lesions were merged into it, though it was counted once: true positive can fall below zero. And the union of a pair
    is taken of its reference lesion with the predictions of *another* pair, the one whose reference lesion has the
    number that this pair's prediction has, if there is one that was not missed before; so the figure depends on the
    order of the lesions in the file. Where there is no reference lesion its program ends with an error on branch
    master; counted is what branch miccai counts, none detected. Above 255 reference lesions its numbers wrap round, and
    here not.
    """
    groups = _groups(lesions.shared)
    labelled = {reference[0]: predicted for predicted, reference in groups}
    pairs, detected, tp = [], [], len(groups)
    for predicted, reference in groups:
        union_with = labelled.get(predicted[0], ())
        pairs.append(Pair(predicted, reference, _overlap(lesions, predicted, union_with, reference)))
        if pairs[-1].overlap > threshold:
            detected.append(pairs[-1])
        else:
            del labelled[reference[0]]
            tp -= len(reference)
    counted = (tp, len(lesions.predicted) - tp, len(lesions.reference) - tp)
    return Detection(*counted, tuple(detected), tuple(pairs))


def _groups(shared: Table) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Numbers (from 1) of the predicted and the reference lesions of each pair, by the first predicted one."""
    touched = shared.any(axis=0)
    owner = np.where(touched, shared.argmax(axis=0) if len(shared) else 0, -1)
    firsts = _firsts(owner.tolist())
    merged = np.zeros((shared.shape[0], len(firsts)), dtype=np.int64)
    for n, members in enumerate(firsts):
        merged[:, n] = shared[:, members].sum(axis=1)
    matched: dict[int, list[int]] = {}
    for p in np.flatnonzero(shared.any(axis=1)):
        matched.setdefault(int(merged[p].argmax()), []).append(int(p) + 1)
    return [(tuple(predicted), tuple(g + 1 for g in firsts[n])) for n, predicted in matched.items()]


def _firsts(owner: Sequence[int]) -> list[list[int]]:
    """Reference lesions (from 0) of one owner together, by the first of them; one without an owner stays alone."""
    groups: dict[tuple[int, int], list[int]] = {}
    for g, p in enumerate(owner):
        groups.setdefault((p, -1 if p >= 0 else g), []).append(g)
    return list(groups.values())


def _overlap(lesions: Overlaps, predicted: Sequence[int], united: Sequence[int], reference: Sequence[int]) -> float:
    """Voxels that predicted and reference lesions share, over those of the reference and the `united` predicted."""
    columns, rows = np.subtract(reference, 1), np.subtract(predicted, 1)
    others = np.array(united, dtype=np.int64) - 1
    union = lesions.reference[columns].sum() + lesions.predicted[others].sum()
    union -= lesions.shared[np.ix_(others, columns)].sum()
    return float(lesions.shared[np.ix_(rows, columns)].sum() / union)
