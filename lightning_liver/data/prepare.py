"""From scans to the store: read, check, turn to LPS, resample in plane, compress. One worker process a case."""

import logging
import multiprocessing
import shutil
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout
from pydantic import ConfigDict, validate_call
from tqdm import tqdm

from lightning_liver.data.convert import fingerprint, prepare_case
from lightning_liver.data.resample import grid_shape
from lightning_liver.data.sources import Case
from lightning_liver.data.store import (
    CaseRecord,
    Store,
    forget_open_arrays,
    read_record,
    write_manifest,
)
from lightning_liver.errors import LiverError, LiverWarning
from lightning_liver.imageio.nifti import read_header
from lightning_liver.machine import cores
from lightning_liver.types import Natural, Positive

log = logging.getLogger(__name__)

# What a worker did on one 2.6 GHz core with 512x512 int16 .nii.gz; only the estimate before the start rests on them.
VOXELS_PER_SECOND = 20e6
BYTES_PER_VOXEL = 0.9


@dataclass(frozen=True)
class Outcome:
    """What became of a case: a record, or the reason why there is none; and what its reader warned of."""

    case: Case
    record: CaseRecord | None
    error: str | None
    warnings: tuple[str, ...]


@validate_call(config=ConfigDict(arbitrary_types_allowed=True))
def prepare(
    cases: Sequence[Case],
    *,
    store: Path,
    spacing_mm: Positive | None,
    workers: Natural | None,
    skip_bad: bool,
) -> Store:
    """Bring the store up to date with the cases and return it.

    Args:
        store: folder of the stores of this source; each in-plane spacing has its own place below it.
        spacing_mm: in-plane spacing to resample to; None keeps each scan's own grid.
        workers: processes; None is one a core, 0 works in this process.
        skip_bad: leave out cases that cannot be read, with a warning, instead of raising.

    Raises:
        LiverError: a case cannot be read (after all the others were prepared), or the disk is full.
    """
    folder = folder_of(store, spacing_mm)
    outcomes = _whole(cases, folder, spacing_mm)
    try:
        if len(outcomes) < len(cases):
            folder.mkdir(parents=True, exist_ok=True)
            with _alone(folder):
                outcomes = _bring_up_to_date(cases, folder, spacing_mm, workers)
        _list(folder, outcomes)
    except OSError as error:
        raise LiverError(
            f"cannot write to {folder}: {error.strerror}. Choose another place: data.store=FOLDER."
        ) from error
    _report(outcomes, skip_bad)
    return Store(folder, {o.record.name: o.record for o in outcomes if o.record is not None})


def folder_of(store: Path, spacing_mm: float | None) -> Path:
    """Where a source's cases of one in-plane spacing are."""
    return store.expanduser() / ("native" if spacing_mm is None else f"{spacing_mm:g}mm")


def _bring_up_to_date(
    cases: Sequence[Case], folder: Path, spacing_mm: float | None, workers: int | None
) -> list[Outcome]:
    outcomes = _whole(cases, folder, spacing_mm)  # once more: another process may have worked until now
    found = {outcome.case for outcome in outcomes}
    stale = [case for case in cases if case not in found]
    if stale:
        _clear_leftovers(folder)
        workers = min(workers if workers is not None else cores(), len(stale))
        _announce(stale, len(cases), folder, spacing_mm, workers)
        outcomes += list(_run(stale, folder, spacing_mm, workers))
        forget_open_arrays()
    order = {case.name: position for position, case in enumerate(cases)}
    return sorted(outcomes, key=lambda outcome: order[outcome.case.name])


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until no other process prepares in this folder."""
    lock = FileLock(folder / "prepare.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log.info(f"Another process prepares in {folder}: waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _whole(cases: Sequence[Case], folder: Path, spacing_mm: float | None) -> list[Outcome]:
    """The cases that are there already."""
    records = ((case, _up_to_date(case, folder, spacing_mm)) for case in cases)
    return [Outcome(case, record, None, ()) for case, record in records if record]


def _list(folder: Path, outcomes: Sequence[Outcome]) -> None:
    """Write the manifest of every whole case in the folder, those of other runs too."""
    names = sorted((path.name for path in (folder / "cases").glob("*")), key=lambda name: (len(name), name))
    mine = {outcome.record.name: outcome.record for outcome in outcomes if outcome.record}
    try:
        write_manifest(folder, [r for name in names if (r := mine.get(name) or read_record(folder, name))])
    except OSError as error:  # a full disk: what went wrong with the cases is worth more
        log.warning(f"{folder / 'manifest.json'} could not be written: {error.strerror}")


def _up_to_date(case: Case, folder: Path, spacing_mm: float | None) -> CaseRecord | None:
    """The record of a case that is whole and made from these very files; the patient is whatever is said now."""
    record = None if case.problem else read_record(folder, case.name)
    try:
        fresh = record is not None and record.fingerprint == fingerprint(case, spacing_mm)
    except OSError:
        return None  # preparing it will say what is wrong with the file
    return replace(record, patient=case.patient) if record is not None and fresh else None


def _announce(stale: Sequence[Case], total: int, folder: Path, spacing_mm: float | None, workers: int) -> None:
    voxels = stored = 0.0
    for case in stale:
        try:
            header = read_header(case.volume)
        except LiverError:
            continue  # preparing it will say what is wrong with the file
        voxels += header.voxels
        stored += float(np.prod(grid_shape(header.shape, header.spacing_mm, spacing_mm)))
    seconds, needed = voxels / VOXELS_PER_SECOND / max(workers, 1), stored * BYTES_PER_VOXEL
    free = shutil.disk_usage(folder).free
    log.info(
        f"Preparing {len(stale)} of {total} cases with {max(workers, 1)} workers: about {_duration(seconds)} and "
        f"{needed / 1e9:.1f} GB in {folder} ({free / 1e9:.0f} GB are free)"
    )
    if needed > free:
        log.warning("That is more than is free; what fits will be prepared. Another place: data.store=FOLDER")


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds > 90 else f"{max(seconds, 1):.0f} s"


def _run(stale: Sequence[Case], folder: Path, spacing_mm: float | None, workers: int) -> Iterator[Outcome]:
    with tqdm(total=len(stale), desc="prepare", unit="case", dynamic_ncols=True) as bar:
        for outcome in _outcomes(stale, folder, spacing_mm, workers):
            bar.update()
            yield outcome


def _outcomes(stale: Sequence[Case], folder: Path, spacing_mm: float | None, workers: int) -> Iterable[Outcome]:
    if workers == 0:
        yield from (_attempt(case, folder, spacing_mm) for case in stale)
        return
    unfinished = []
    for case, outcome in _pooled(stale, folder, spacing_mm, workers):
        if outcome is None:
            unfinished.append(case)
        else:
            yield outcome
    for case in unfinished:  # a killed worker takes its pool along: each alone tells who it was
        _, outcome = next(iter(_pooled([case], folder, spacing_mm, 1)))
        reason = "its worker process was killed, most likely for want of memory. Use fewer: data.workers=1"
        yield outcome or Outcome(case, None, f"{case.volume}: {reason}", ())


def _pooled(
    cases: Sequence[Case], folder: Path, spacing_mm: float | None, workers: int
) -> Iterator[tuple[Case, Outcome | None]]:
    """Outcomes as they come; None for cases whose worker, or whose pool, was killed."""
    # spawn: a forked child would inherit the locks of whatever threads the caller runs
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))
    try:
        futures = {pool.submit(_attempt, case, folder, spacing_mm): case for case in cases}
        for future in as_completed(futures):
            try:
                yield futures[future], future.result()
            except BrokenProcessPool:
                yield futures[future], None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _attempt(case: Case, folder: Path, spacing_mm: float | None) -> Outcome:
    """Prepare a case; whatever is wrong with its files becomes an outcome, not an exception."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", LiverWarning)
        try:
            record, error = prepare_case(case, folder, spacing_mm), None
        except LiverError as wrong:
            record, error = None, str(wrong)
        except Exception as wrong:  # whatever one file does to a library, the others are prepared
            record, error = None, f"{case.volume}: {type(wrong).__name__}: {wrong}"
    return Outcome(case, record, error, tuple(str(w.message) for w in caught if w.category is LiverWarning))


def _clear_leftovers(folder: Path) -> None:
    """Remove what a killed run left half written; the lock is held, so nobody else is writing."""
    for staged in folder.glob(".*-*"):
        shutil.rmtree(staged, ignore_errors=True)


def _report(outcomes: Sequence[Outcome], skip_bad: bool) -> None:
    by_text: dict[str, list[str]] = defaultdict(list)
    for outcome in outcomes:
        for message in outcome.warnings:
            file, _, text = message.partition(": ")
            by_text[text].append(Path(file).name)
    for text, files in by_text.items():
        log.warning(f"{text}: {', '.join(files)}")
    unlabelled = [o.case.name for o in outcomes if o.record and not o.record.labelled]
    if unlabelled:
        log.warning(f"No labels, kept for prediction only: {', '.join(unlabelled)}")
    bad = [outcome.error for outcome in outcomes if outcome.error]
    if not bad:
        return
    listed = f"{len(bad)} of {len(outcomes)} cases could not be prepared:\n" + "\n".join(f"  {text}" for text in bad)
    if not skip_bad:
        raise LiverError(f"{listed}\nMend them, or leave them out with data.skip_bad=true. The others are prepared.")
    log.warning(f"{listed}\nThey are left out (data.skip_bad=true).")
