"""Preparation of the store, one case per worker process: find stale cases, convert them, report."""

import logging
import math
import shutil
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from filelock import Timeout
from pydantic import ConfigDict, validate_call
from tqdm import tqdm

from lightning_liver.data.address import is_address, is_mirrored, mirror_of, one_process, shown
from lightning_liver.data.convert import fingerprint, prepare_case
from lightning_liver.data.mirror import limit_bytes, listing, publish, refresh
from lightning_liver.data.resample import grid_shape
from lightning_liver.data.sources import Case
from lightning_liver.data.store import (
    MANIFEST,
    CaseRecord,
    RefusedCase,
    Store,
    case_folder,
    fault_of,
    forget_open_arrays,
    read_record,
    write_manifest,
)
from lightning_liver.errors import LiverError, LiverWarning, first_line
from lightning_liver.files import held_lock, refuse_elsewhere
from lightning_liver.imageio.label_values import LabelValues, label_values
from lightning_liver.imageio.nifti import read_header
from lightning_liver.machine import cores, process_pool
from lightning_liver.tables import duration
from lightning_liver.types.options import Natural, Positive

log = logging.getLogger(__name__)

# measured on one 2.6 GHz core with 512x512 int16 .nii.gz; used only for the estimate before the start
VOXELS_PER_SECOND = 20e6
BYTES_PER_VOXEL = 0.9

_NO_LIVER = "No mask has a voxel of liver: say which values they have, as in 'data.labels={liver:[1,2],tumour:[2]}'"


@dataclass(frozen=True)
class Outcome:
    """Outcome of a case: a record or an error, and the reader's warnings."""

    case: Case
    record: CaseRecord | None
    error: str | None
    warnings: tuple[str, ...]


class Making(NamedTuple):
    """How scans become prepared cases: in-plane spacing, None for the scan's own, and the values in the masks."""

    spacing_mm: float | None
    values: LabelValues


@validate_call(config=ConfigDict(arbitrary_types_allowed=True))
def prepare(
    cases: Sequence[Case],
    *,
    store: str | Path,
    spacing_mm: Positive | None,
    workers: Natural | None,
    skip_bad: bool,
    labels: dict[str, Any] | None = None,  # earlier runs have none
    confined: bool = False,
) -> Store:
    """Bring the store up to date with the cases and return it.

    Args:
        store: folder or address of the stores of this source, with a subfolder for each in-plane spacing.
        spacing_mm: in-plane spacing to resample to; None keeps each scan's own grid.
        workers: processes; None is one per core, 0 works in this process.
        labels: values of liver and tumour in the masks, see imageio.label_values; None is LiTS's.
        skip_bad: leave out cases that cannot be read, with a warning, instead of raising.
        confined: refuse a store that is neither in the cache nor there already: the options are of a run folder.

    Raises:
        LiverError: a case cannot be read (after all others were prepared), or the disk is full.
    """
    folder, making = folder_of(store, spacing_mm), Making(spacing_mm, label_values(labels, "data.labels"))
    if is_mirrored(folder):
        refresh(folder, "*.json")
    if confined:
        away = is_mirrored(folder)
        refuse_elsewhere("data.store", store if away else Path(store).expanduser(), folder / MANIFEST, away=away)
    if one_process(folder) or any(one_process(case.volume) for case in cases):
        workers = 0
    outcomes = _find_prepared(cases, folder, making)
    try:
        if len(outcomes) < len(cases):
            folder.mkdir(parents=True, exist_ok=True)
            with _lock(folder):
                outcomes = _bring_up_to_date(cases, folder, making, workers)
        _write_manifest(folder, outcomes)
    except OSError as error:
        raise LiverError(f"{folder}: cannot be written ({error.strerror}); set data.store to another folder") from error
    _report(outcomes, skip_bad)
    if is_mirrored(folder):
        _warn_small_cache(store, folder, outcomes)
    refused = tuple(RefusedCase(o.case.name, o.case.patient, first_line(o.error)) for o in outcomes if o.error)
    prepared = {o.record.name: o.record for o in outcomes if o.record is not None}
    return Store(folder, prepared, refused, partial(_heal, {case.name: case for case in cases}, folder, making))


def folder_of(store: str | Path, spacing_mm: float | None) -> Path:
    """Return the folder of a source's cases at one in-plane spacing; of an address that of its copies.

    Raises:
        LiverError: an address that is invalid, or whose package is missing.
    """
    place = mirror_of(str(store), "data.store") if is_address(store) else Path(store).expanduser()
    return place / ("native" if spacing_mm is None else f"{spacing_mm:g}mm")


def _warn_small_cache(store: str | Path, folder: Path, outcomes: Sequence[Outcome]) -> None:
    """Warn if the cases do not fit into the cache, since each epoch would then read them from the address again."""
    names = [case_folder(folder, o.record.name) / file for o in outcomes if o.record for file in o.record.checksums]
    sizes = listing(folder)
    needed = sum(sizes[name].size for name in names if name in sizes)
    if needed > limit_bytes():
        log.warning(
            f"data.store={store}: its {len(outcomes)} cases take {needed / 1e9:.2g} GB, more than the cache holds, and "
            f"are read from there again and again; set LIVER_CACHE_GB={math.ceil(needed / 1e9)} or more"
        )


def _bring_up_to_date(cases: Sequence[Case], folder: Path, making: Making, workers: int | None) -> list[Outcome]:
    outcomes = _find_prepared(cases, folder, making)  # again: another process may have just finished
    found = {outcome.case for outcome in outcomes}
    stale = [case for case in cases if case not in found]
    if stale:
        _clear_leftovers(folder)
        workers = min(workers if workers is not None else cores(), len(stale))
        _announce(stale, len(cases), folder, making, workers)
        outcomes += list(_run(stale, folder, making, workers))
        forget_open_arrays()
    order = {case.name: position for position, case in enumerate(cases)}
    return sorted(outcomes, key=lambda outcome: order[outcome.case.name])


def _heal(cases: Mapping[str, Case], folder: Path, making: Making, record: CaseRecord, fault: str) -> None:
    """Prepare a damaged case anew, unless another process just did.

    Raises:
        LiverError: its scan is missing, unreadable or another one by now.
    """
    case = cases[record.name]
    try:
        with _lock(folder):
            forget_open_arrays()
            found = read_record(folder, case.name)
            if found and found.fingerprint == record.fingerprint and fault_of(folder, found) is None:
                return
            if fingerprint(case, *making) != record.fingerprint:
                raise LiverError(f"{case.volume}: the scan has changed")
            log.warning(f"{fault}: case {case.name} is damaged and is prepared anew from {case.volume}")
            made = prepare_case(case, folder, *making)
            if again := fault_of(folder, made):
                raise LiverError(f"{again} right after it was written: the disk or the memory may be broken")
    except (LiverError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise LiverError(
            f"{fault}: case {case.name} is damaged and cannot be prepared anew from {case.volume} ({reason}); bring "
            "its files back and run liver-prepare verify=true with the same data options"
        ) from error


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, waiting while another process prepares in it."""
    with ExitStack() as stack:
        path = folder / "prepare.lock"
        try:
            stack.enter_context(held_lock(path, timeout_s=0))
        except Timeout:
            log.info(f"Waiting for another process that prepares in {folder}")
            stack.enter_context(held_lock(path))
        yield


def _find_prepared(cases: Sequence[Case], folder: Path, making: Making) -> list[Outcome]:
    """Return the outcomes of cases that are already prepared."""
    records = ((case, _read_up_to_date(case, folder, making)) for case in cases)
    return [Outcome(case, record, None, tuple(record.warnings)) for case, record in records if record]


def _write_manifest(folder: Path, outcomes: Sequence[Outcome]) -> None:
    """Write the manifest of every case in the folder, including those of other runs."""
    names = sorted((path.name for path in (folder / "cases").glob("*")), key=lambda name: (len(name), name))
    mine = {outcome.record.name: outcome.record for outcome in outcomes if outcome.record}
    try:
        write_manifest(folder, [r for name in names if (r := mine.get(name) or read_record(folder, name))])
        if is_mirrored(folder):
            publish(folder / MANIFEST)
    except OSError as error:  # a full disk: the errors of the cases matter more
        log.warning(f"{folder / 'manifest.json'} could not be written: {error.strerror}")


def _read_up_to_date(case: Case, folder: Path, making: Making) -> CaseRecord | None:
    """Read the record of a case made from these very files, with the current patient; None if it is stale."""
    record = None if case.problem else read_record(folder, case.name)
    try:
        fresh = record is not None and record.fingerprint == fingerprint(case, *making)
    except OSError:
        return None  # preparing it will report the file's error
    if record is None or not fresh:
        return None
    return replace(record, patient=case.patient, part=case.part, patient_known=case.patient_known)


def _announce(stale: Sequence[Case], total: int, folder: Path, making: Making, workers: int) -> None:
    voxels = stored = 0.0
    if any(is_mirrored(case.volume) for case in stale):  # their headers are not here
        log.info(f"Preparing {len(stale)} of {total} cases with {max(workers, 1)} workers in {shown(folder)}")
        return
    for case in stale:
        try:
            header = read_header(case.volume)
            shape = grid_shape(header.shape, header.spacing_mm, making.spacing_mm)
        except LiverError:
            continue  # preparing it will report the file's error
        voxels += header.voxels
        stored += float(np.prod(shape))
    seconds, needed = voxels / VOXELS_PER_SECOND / max(workers, 1), stored * BYTES_PER_VOXEL
    free = shutil.disk_usage(folder).free
    log.info(
        f"Preparing {len(stale)} of {total} cases with {max(workers, 1)} workers: about {duration(seconds)} and "
        f"{needed / 1e9:.1f} GB in {shown(folder)} ({free / 1e9:.0f} GB are free)"
    )
    if needed > free:
        log.warning("Not enough space: only some cases will be prepared; set data.store to another folder")


def _run(stale: Sequence[Case], folder: Path, making: Making, workers: int) -> Iterator[Outcome]:
    with tqdm(total=len(stale), desc="prepare", unit="case", dynamic_ncols=True) as bar:
        for outcome in _outcomes(stale, folder, making, workers):
            bar.update()
            yield outcome


def _outcomes(stale: Sequence[Case], folder: Path, making: Making, workers: int) -> Iterable[Outcome]:
    if workers == 0:
        yield from (_attempt(case, folder, making) for case in stale)
        return
    unfinished = []
    for case, outcome in _pooled(stale, folder, making, workers):
        if outcome is None:
            unfinished.append(case)
        else:
            yield outcome
    for case in unfinished:  # a killed worker breaks its pool: running each case alone shows which one it was
        _, outcome = next(iter(_pooled([case], folder, making, 1)))
        reason = "its worker process was killed, most likely out of memory; use fewer: data.workers=1"
        yield outcome or Outcome(case, None, f"{case.volume}: {reason}", ())


def _pooled(cases: Sequence[Case], folder: Path, making: Making, workers: int) -> Iterator[tuple[Case, Outcome | None]]:
    """Yield outcomes as they complete; None for cases whose worker or pool was killed."""
    pool = process_pool(workers)
    try:
        futures = {pool.submit(_attempt, case, folder, making): case for case in cases}
        for future in as_completed(futures):
            try:
                yield futures[future], future.result()
            except BrokenProcessPool:
                yield futures[future], None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _attempt(case: Case, folder: Path, making: Making) -> Outcome:
    """Prepare a case; an error in its files becomes an outcome, not an exception."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", LiverWarning)
        try:
            record, error = prepare_case(case, folder, *making), None
        except LiverError as wrong:
            record, error = None, str(wrong)
        except Exception as wrong:  # a library failing on one file must not stop the others
            record, error = None, f"{case.volume}: {type(wrong).__name__}: {wrong}"
    return Outcome(case, record, error, tuple(str(w.message) for w in caught if w.category is LiverWarning))


def _clear_leftovers(folder: Path) -> None:
    """Remove the incomplete folders of a killed run; the lock is held, so nobody else is writing."""
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
        log.warning(f"Cases without labels, for prediction only: {', '.join(unlabelled)}")
    masks = [o.record.liver_pixels for o in outcomes if o.record and o.record.labelled]
    if masks and not any(map(any, masks)):
        log.warning(f"{_NO_LIVER}; training would refuse them")
    bad = [outcome.error for outcome in outcomes if outcome.error]
    if not bad:
        return
    listed = f"{len(bad)} of {len(outcomes)} cases could not be prepared:\n" + "\n".join(f"  {text}" for text in bad)
    if not skip_bad:
        raise LiverError(f"{listed}\nRepair them, or skip them with data.skip_bad=true. The others are prepared.")
    log.warning(f"{listed}\nThey are skipped (data.skip_bad=true).")
