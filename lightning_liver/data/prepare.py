"""From scans to the store: read, check, turn to LPS, resample in plane, compress. One worker process a case."""

import logging
import multiprocessing
import shutil
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
from filelock import FileLock
from pydantic import ConfigDict, Field, validate_call
from tqdm import tqdm

from lightning_liver.data.convert import fingerprint, prepare_case
from lightning_liver.data.nifti import read_header
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
from lightning_liver.machine import cores

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
    spacing_mm: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None,
    workers: Annotated[int, Field(ge=0)] | None,
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
    folder = store / ("native" if spacing_mm is None else f"{spacing_mm:g}mm")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / "prepare.lock"):
            outcomes = _bring_up_to_date(cases, folder, spacing_mm, workers)
    except OSError as error:
        raise LiverError(
            f"cannot write to {folder}: {error.strerror}. Choose another place: data.store=FOLDER."
        ) from error
    _report(outcomes, skip_bad)
    return Store(folder, {o.record.name: o.record for o in outcomes if o.record is not None})


def _bring_up_to_date(
    cases: Sequence[Case], folder: Path, spacing_mm: float | None, workers: int | None
) -> list[Outcome]:
    whole = [_up_to_date(case, folder, spacing_mm) for case in cases]
    stale = [case for case, record in zip(cases, whole, strict=True) if record is None]
    outcomes = [Outcome(case, record, None, ()) for case, record in zip(cases, whole, strict=True) if record]
    if stale:
        _clear_leftovers(folder)
        workers = min(workers if workers is not None else cores(), len(stale))
        _announce(stale, len(cases), folder, spacing_mm, workers)
        outcomes += list(_run(stale, folder, spacing_mm, workers))
        forget_open_arrays()
    names = sorted((p.name for p in (folder / "cases").glob("*")), key=lambda name: (len(name), name))
    write_manifest(folder, [record for name in names if (record := read_record(folder, name))])
    order = {case.name: position for position, case in enumerate(cases)}
    return sorted(outcomes, key=lambda outcome: order[outcome.case.name])


def _up_to_date(case: Case, folder: Path, spacing_mm: float | None) -> CaseRecord | None:
    """The record of a case that is whole and made from these very files; the patient is whatever is said now."""
    record = read_record(folder, case.name)
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
        voxels += float(np.prod(header.shape))
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
    # spawn: a forked child would inherit the locks of whatever threads the caller runs
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))
    try:
        futures = {pool.submit(_attempt, case, folder, spacing_mm): case for case in stale}
        for future in as_completed(futures):
            yield _collect(future, futures[future])
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _collect(future: "Future[Outcome]", case: Case) -> Outcome:
    try:
        return future.result()
    except BrokenProcessPool:
        reason = "a worker process was killed, most likely for want of memory. Use fewer: data.workers=1"
        return Outcome(case, None, f"{case.volume}: {reason}", ())


def _attempt(case: Case, folder: Path, spacing_mm: float | None) -> Outcome:
    """Prepare a case; whatever is wrong with its files becomes an outcome, not an exception."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", LiverWarning)
        try:
            record, error = prepare_case(case, folder, spacing_mm), None
        except LiverError as wrong:
            record, error = None, str(wrong)
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
