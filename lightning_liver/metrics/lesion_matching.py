"""Matching of predicted and reference lesions, and detection.

Both modes group the lesions alike (the LiTS scorer's merge-and-match, Vorontsov 2017):

1. Each reference lesion is assigned to the predicted one that covers most of it; those of one prediction are merged.
2. Each predicted lesion is matched to the merged reference lesion with which it shares most voxels; those matched to
   one are merged too.
3. A pair is detected if its overlap, intersection over union, is above a threshold.

Ties go to the lesion that comes first in the file.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64, Integer
from scipy.sparse import coo_array, csr_array

from lightning_liver.metrics.components import Components, meeting


class LesionPair(NamedTuple):
    """Predicted and reference lesions, by number, each merged into one.

    Args:
        overlap: compared with the threshold.
    """

    predicted: tuple[int, ...]
    reference: tuple[int, ...]
    overlap: float


class Overlaps(NamedTuple):
    """Voxels shared by predicted (rows) and reference lesions (columns), and voxels of each.

    The table is sparse, as 100,000 specks in both masks are not rare enough for 80 GB.
    """

    shared: csr_array
    predicted: Int64[np.ndarray, " predicted"]
    reference: Int64[np.ndarray, " reference"]


class Detection(NamedTuple):
    """Lesions counted at a threshold.

    Args:
        tp, fp, fn: true positive, false positive and false negative, as the mode counts them.
        detected: pairs above the threshold.
        pairs: all pairs.
    """

    tp: int
    fp: int
    fn: int
    detected: tuple[LesionPair, ...]
    pairs: tuple[LesionPair, ...]


Match = Callable[[Overlaps, float], Detection]


def overlaps(prediction: Components, reference: Components, shape: tuple[int, ...]) -> Overlaps:
    """Count the voxels that the lesions of two masks of this shape share."""
    rows, columns = len(prediction.voxels), len(reference.voxels)
    pairs = meeting(prediction.runs, reference.runs, shape)
    mine, theirs = prediction.runs[pairs[:, 0]], reference.runs[pairs[:, 1]]
    voxels = np.minimum(mine[:, 3], theirs[:, 3]) - np.maximum(mine[:, 2], theirs[:, 2])
    predicted = np.searchsorted(prediction.starts, pairs[:, 0], side="right") - 1
    true = np.searchsorted(reference.starts, pairs[:, 1], side="right") - 1
    shared = coo_array((voxels.astype(np.int64), (predicted, true)), shape=(rows, columns)).tocsr()  # adds them up
    return Overlaps(shared, prediction.voxels, reference.voxels)


def corrected(lesions: Overlaps, threshold: float) -> Detection:
    """Count as veugene/lits-challenge-scoring does (branch clinical_eval, 2018).

    True positive: reference lesions of detected pairs, counting merged ones separately. False positive: predicted
    lesions of other pairs and those that touch no reference lesion. False negative: the other reference lesions, so
    that both add up to the reference lesions. (The fork's program fails where merged reference lesions are missed; here
    each of them counts.) Its preprocessing, joining parts of the reference two pixels apart, is left out.
    """
    overlap = _Overlap(lesions)
    pairs = tuple(
        LesionPair(predicted, reference, overlap(predicted, predicted, reference))
        for predicted, reference in _groups(lesions.shared)
    )
    detected = tuple(pair for pair in pairs if pair.overlap > threshold)
    tp = sum(len(pair.reference) for pair in detected)
    matched = sum(len(pair.predicted) for pair in detected)
    return Detection(tp, len(lesions.predicted) - matched, len(lesions.reference) - tp, detected, pairs)


def official(lesions: Overlaps, threshold: float) -> Detection:
    """Count as PatrickChrist/lits-challenge-scoring does, for which detected lesions are pairs.

    Two of its errors are reproduced. A missed pair subtracts the number of reference lesions merged into it, though it
    was counted once: true positive can fall below zero. And the union of a pair is that of its reference lesion with
    the predictions of *another* pair, the one whose reference lesion has the number of this pair's prediction, if there
    is one that was not missed before; so figures depend on the order of lesions in the file. Without a reference lesion
    branch master fails; this counts as branch miccai does, none detected. Above 255 reference lesions its numbers wrap
    around, here they do not.
    """
    groups, overlap = _groups(lesions.shared), _Overlap(lesions)
    labelled = {reference[0]: predicted for predicted, reference in groups}
    pairs, detected, tp = [], [], len(groups)
    for predicted, reference in groups:
        union_with = labelled.get(predicted[0], ())
        pairs.append(LesionPair(predicted, reference, overlap(predicted, union_with, reference)))
        if pairs[-1].overlap > threshold:
            detected.append(pairs[-1])
        else:
            del labelled[reference[0]]
            tp -= len(reference)
    counted = (tp, len(lesions.predicted) - tp, len(lesions.reference) - tp)
    return Detection(*counted, tuple(detected), tuple(pairs))


def _groups(shared: csr_array) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Return the numbers (from 1) of predicted and reference lesions of each pair, by the first predicted one."""
    table = shared.tocoo()
    owner = np.full(shared.shape[1], -1)
    columns, rows = _largest(table.col, table.row, table.data)
    owner[columns] = rows
    firsts = _firsts(owner.tolist())
    group = np.zeros(shared.shape[1], np.int64)
    for n, members in enumerate(firsts):
        group[members] = n
    merged = coo_array((table.data, (table.row, group[table.col])), shape=(shared.shape[0], len(firsts)))
    merged.sum_duplicates()
    matched: dict[int, list[int]] = {}
    for p, n in zip(*(found.tolist() for found in _largest(merged.row, merged.col, merged.data)), strict=True):
        matched.setdefault(n, []).append(p + 1)
    return [(tuple(predicted), tuple(g + 1 for g in firsts[n])) for n, predicted in matched.items()]


def _largest(
    of: Integer[np.ndarray, " n"], among: Integer[np.ndarray, " n"], values: Integer[np.ndarray, " n"]
) -> tuple[Integer[np.ndarray, " first"], Integer[np.ndarray, " first"]]:
    """Return each of the first numbers, sorted, and its partner of the largest value; of equal ones the first."""
    order = np.lexsort((among, -values, of))
    first = np.flatnonzero(np.diff(of[order], prepend=-1))
    return of[order][first], among[order][first]


def _firsts(owner: Sequence[int]) -> list[list[int]]:
    """Group reference lesions (from 0) by owner, sorted by the first of them; one without an owner stays single."""
    groups: dict[tuple[int, int], list[int]] = {}
    for g, p in enumerate(owner):
        groups.setdefault((p, -1 if p >= 0 else g), []).append(g)
    return list(groups.values())


class _Overlap:
    """Overlap of merged lesions; a row of the table is looked up many times."""

    def __init__(self, lesions: Overlaps) -> None:
        table = lesions.shared
        bounds, columns, voxels = (values.tolist() for values in (table.indptr, table.indices, table.data))
        self._rows = [dict(zip(columns[i:j], voxels[i:j], strict=True)) for i, j in pairwise(bounds)]
        self._predicted, self._reference = lesions.predicted.tolist(), lesions.reference.tolist()

    def __call__(self, predicted: Sequence[int], united: Sequence[int], reference: Sequence[int]) -> float:
        """Return voxels shared by predicted and reference lesions over the union of reference and `united` predicted.

        All are numbers from 1.
        """
        columns = {g - 1 for g in reference}
        union = sum(self._reference[g] for g in columns) + sum(self._predicted[p - 1] for p in united)
        return self._shared(predicted, columns) / (union - self._shared(united, columns))

    def _shared(self, predicted: Sequence[int], columns: set[int]) -> int:
        rows = (self._rows[p - 1] for p in predicted)
        return sum(voxels for row in rows for g, voxels in row.items() if g in columns)
