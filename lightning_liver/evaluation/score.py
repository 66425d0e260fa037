"""Scoring of pairs of masks, in several processes if faster. Nothing here imports torch, so that workers start fast."""

import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from tqdm import tqdm

from lightning_liver.errors import LiverError, LiverWarning
from lightning_liver.evaluation.pairs import CasePair
from lightning_liver.imageio.label_values import LITS, LabelValues
from lightning_liver.imageio.nifti import Header, read_header, read_labels
from lightning_liver.imageio.nifti_geometry import is_uninformative
from lightning_liver.imageio.nifti_header import read_layout
from lightning_liver.machine import available_bytes, cores, process_pool
from lightning_liver.metrics.case_score import CaseScore, score_case
from lightning_liver.volume import Volume

_BYTES_PER_VOXEL = 12  # peak of reading and scoring a case; measured: 4, and 10 with specks all over
_BYTES_OF_A_WORKER = 250_000_000
_WORTH_A_WORKER = 150_000_000  # voxels scored in the time that a worker takes to start

LabelVolume = UInt8[np.ndarray, "z y x"]


@dataclass(frozen=True)
class Scored:
    """Outcome of a pair: its score or an error in its files, and warnings."""

    pair: CasePair
    score: CaseScore | None
    error: str | None
    warnings: tuple[str, ...]


def check_shapes(pairs: Sequence[CasePair]) -> None:
    """Compare the shapes in all headers before anything is scored.

    Raises:
        LiverError: files that cannot be read, or whose shapes differ.
    """
    bad = [message for pair in pairs if (message := _wrong_shape(pair))]
    if bad:
        raise LiverError("\n".join(bad))


class PairValues(NamedTuple):
    """Values of liver and tumour in true and in predicted masks."""

    truth: LabelValues = LITS
    prediction: LabelValues = LITS


OF_LITS = PairValues()


def score_pairs(
    pairs: Sequence[CasePair], *, mode: str, tolerance_mm: float, workers: int | None, values: PairValues = OF_LITS
) -> list[Scored]:
    """Score pairs; an error in one of them does not stop the others.

    Args:
        mode, tolerance_mm: as for score_case.
        values: of the structures in the files.
        workers: processes; 0 works in this one, None is as many as save time and fit into memory.

    Returns:
        An outcome for each pair, in their order.
    """
    attempt = partial(_attempt, mode=mode, tolerance_mm=tolerance_mm, values=values)
    count = _count_workers(pairs) if workers is None else min(workers, len(pairs))
    with tqdm(total=len(pairs), desc="evaluate", unit="case", dynamic_ncols=True) as bar:
        scored: dict[CasePair, Scored] = {}
        for outcome in _pooled(attempt, pairs, count) if count else map(attempt, pairs):
            scored[outcome.pair] = outcome
            bar.update()
    return [scored[pair] for pair in pairs]


def read_pair(pair: CasePair, values: PairValues = OF_LITS) -> tuple[LabelVolume, LabelVolume, Volume]:
    """Read truth and prediction in canonical orientation, and their grid, without HU.

    The grid is that of the truth's header, or of the prediction's if the truth's has neither spacing nor orientation.
    Voxels are compared in the order of the files, as the official scorer does, unless the prediction was saved turned
    and its header gives the truth's grid.

    Raises:
        LiverError: as for read_labels; unequal shapes.
    """
    if message := _wrong_shape(pair):
        raise LiverError(message)
    truth, prediction = read_header(pair.truth), read_header(pair.prediction)
    takes_prediction = is_uninformative(truth.affine) and not is_uninformative(prediction.affine)
    grid = _grid(prediction if takes_prediction else truth)
    return read_labels(pair.truth, grid, values.truth), read_labels(pair.prediction, grid, values.prediction), grid


def _grid(header: Header) -> Volume:
    nothing = np.broadcast_to(np.int16(0), header.shape)
    return Volume(nothing, header.spacing_mm, header.affine)


def _wrong_shape(pair: CasePair) -> str | None:
    try:
        truth, prediction = read_layout(pair.truth).shape[::-1], read_layout(pair.prediction).shape[::-1]
        fits = truth == prediction or read_header(pair.truth).shape == read_header(pair.prediction).shape
    except LiverError as error:
        return str(error)
    if fits:
        return None
    predicted, true = (" x ".join(map(str, shape)) for shape in (prediction, truth))
    return (
        f"{pair.prediction}: {predicted} voxels (i, j, k), but its truth {pair.truth} has {true}; "
        "predict on the scan's own grid"
    )


def _attempt(pair: CasePair, *, mode: str, tolerance_mm: float, values: PairValues) -> Scored:
    """Score a pair; an error in its files becomes an outcome, not an exception."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", LiverWarning)
        try:
            score, error = _score(pair, mode, tolerance_mm, values), None
        except LiverError as wrong:
            score, error = None, str(wrong)
        except MemoryError:
            score, error = None, f"{pair.prediction}: not enough memory; use fewer workers"
    return Scored(pair, score, error, tuple(str(one.message) for one in caught if one.category is LiverWarning))


def _score(pair: CasePair, mode: str, tolerance_mm: float, values: PairValues) -> CaseScore:
    truth, prediction, grid = read_pair(pair, values)
    return score_case(
        truth, prediction, spacing_mm=grid.spacing_mm, mode=mode, tolerance_mm=tolerance_mm, affine=grid.affine
    )


def _count_workers(pairs: Sequence[CasePair]) -> int:
    """Return the number of processes that save time and fit into memory; 0 if one process is faster."""
    voxels = [read_header(pair.truth).voxels for pair in pairs]
    room = available_bytes()
    fit = room // (_BYTES_PER_VOXEL * max(voxels) + _BYTES_OF_A_WORKER) if room else 1
    count = min(cores(), len(pairs), sum(voxels) // _WORTH_A_WORKER, fit)
    return int(count) if count > 1 else 0


def _pooled(attempt: "partial[Scored]", pairs: Sequence[CasePair], workers: int) -> Iterator[Scored]:
    pool = process_pool(workers)
    try:
        futures = {pool.submit(attempt, pair): pair for pair in pairs}
        for future in as_completed(futures):
            try:
                yield future.result()
            except BrokenProcessPool:
                reason = "its worker process was killed, most likely out of memory; use fewer: workers=1"
                yield Scored(futures[future], None, f"{futures[future].prediction}: {reason}", ())
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
