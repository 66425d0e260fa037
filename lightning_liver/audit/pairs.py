"""Pairs of scans that must not stand on both sides of a split: one scan twice, or one patient twice.

Candidates come from compact codes of the spine, their spines are aligned, and where bone agrees the noise decides
whether the two are one scan.
"""

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import cv2

from lightning_liver.audit.alignment import Alignment, align
from lightning_liver.audit.candidates import candidates
from lightning_liver.audit.finding import Draw, Finding
from lightning_liver.audit.pair_picture import draw_pair
from lightning_liver.audit.pair_text import MISSING_MM, copy_text, extents, overlap_text, patient_text
from lightning_liver.audit.same_scan import Likeness, SpineScan, compare
from lightning_liver.audit.spine import Spine, read_spine
from lightning_liver.data.store import Store
from lightning_liver.errors import LiverError
from lightning_liver.machine import process_pool

# Correlation of bone. Nine LiTS scans: 0.74 to 0.89 for the four pairs of one patient, at most 0.64 for the 32 others.
# 24 phantoms: 0.85 and more for one body in another phase, at most 0.63 among pairs of two bodies. No false alarm.
SAME_PATIENT = 0.69
# Correlations in soft tissue. Copies of nine LiTS scans (cropped, resampled, windowed, flipped): grain 0.97 and more,
# HU 0.97 and more; other scans of the same patients: at most 0.72 and 0.84. Phantoms of one body whose noise has the
# same seed in two phases: grain up to 0.96, HU up to 0.92.
SAME_GRAIN, SAME_HU = 0.85, 0.94
SHORTEST = 14  # levels of spine, 39 mm; shorter scans, or pictures of a few slices, are alike by chance
_NOISE_COMPARED = 0.5  # correlation of bone, from which noise is compared

Kind = Literal["same_scan", "overlap", "same_patient"]
Names = tuple[str, str]


@dataclass(frozen=True)
class Pair:
    """Two scans that are one, overlap, or are of one patient.

    Args:
        first, second: names of the cases; of two stores, the first is in the first one.
        score: correlation of noise of same_scan and overlap, of bone of same_patient.
        text: a sentence with what was seen.
        draw: returns aligned slices of the two.
    """

    first: str
    second: str
    kind: Kind
    score: float
    text: str
    draw: Draw | None = field(default=None, compare=False, repr=False)

    def finding(self) -> Finding:
        """Return the pair as a finding: a scan twice must be fixed, a patient twice is for the user to group."""
        severity: Literal["fix", "look"] = "look" if self.kind == "same_patient" else "fix"
        return Finding(self.kind, severity, (self.first, self.second), self.text, self.score, draw=self.draw)


def find_pairs(store: Store, *, others: Store | None = None, workers: int) -> list[Pair]:
    """Find pairs of cases that are one scan or of one patient, the most certain of each kind first.

    Args:
        others: pairs are between cases of the two stores alone; None looks within the store.
        workers: processes; 0 works in this process.

    Raises:
        LiverError: a case is damaged, or memory runs out.
    """
    with _each(workers) as each:
        mine = _scans(store, each)
        theirs = mine if others is None else _scans(others, each)
        spines = [{name: scan.spine for name, scan in scans.items()} for scans in (mine, theirs)]
        wanted = candidates(spines[0], None if others is None else spines[1]) | _copies(mine, theirs, others is None)
        tried: set[Names] = set()
        pairs: dict[Names, Pair] = {}
        while wanted:
            found = each(_pair, [(mine[a], theirs[b]) for a, b in sorted(wanted)])
            pairs |= {(pair.first, pair.second): pair for pair in found if pair is not None}
            tried |= wanted
            wanted = _linked(pairs, list(mine), within=others is None) - tried
    return sorted(pairs.values(), key=lambda pair: (pair.kind != "same_scan", pair.kind, -pair.score))


def _pair(scans: tuple[SpineScan, SpineScan]) -> Pair | None:
    """Align two scans and return what they are; None for scans of two patients."""
    cv2.setNumThreads(1)
    first, second = scans
    if _checksum(first) == _checksum(second) is not None:
        alignment, likeness = Alignment.of_copies(len(first.spine.patches)), Likeness(1.0, 1.0)
    elif min(len(first.spine.patches), len(second.spine.patches)) < SHORTEST:
        return None
    else:
        alignment = align(first.spine, second.spine)
        if alignment.score < _NOISE_COMPARED:
            return None
        likeness = compare(first, second, alignment)
    make = partial(Pair, first.name, second.name, draw=partial(draw_pair, first, second, alignment))
    if likeness.grain >= SAME_GRAIN and likeness.hu >= SAME_HU:
        if min(extent.beyond_mm for extent in extents(first, second, alignment)) > MISSING_MM:
            return make("overlap", likeness.grain, overlap_text(first, second, alignment))
        return make("same_scan", likeness.grain, copy_text(first, second, alignment))
    if alignment.score >= SAME_PATIENT:
        return make("same_patient", alignment.score, patient_text(first, second, alignment, likeness))
    return None


def _scans(store: Store, each: "Each") -> dict[str, SpineScan]:
    spines = each(partial(_read, store), store.cases)
    return {name: SpineScan(store, name, spine) for name, spine in zip(store.cases, spines, strict=True)}


def _read(store: Store, name: str) -> Spine:
    cv2.setNumThreads(1)
    return read_spine(store, name)


def _checksum(scan: SpineScan) -> int | None:
    return scan.store.cases[scan.name].checksums.get("hu.b2nd")


def _copies(mine: Mapping[str, SpineScan], theirs: Mapping[str, SpineScan], within: bool) -> set[Names]:
    """Return pairs whose prepared HU are equal to the bit, which need no spine to be found."""
    known: dict[int | None, list[str]] = defaultdict(list)
    for name, scan in mine.items():
        known[_checksum(scan)].append(name)
    known.pop(None, None)
    if within:
        return {pair for names in known.values() for pair in itertools.combinations(names, 2)}
    return {(name, other) for other, scan in theirs.items() for name in known.get(_checksum(scan), [])}


def _linked(pairs: Iterable[Names], order: list[str], *, within: bool) -> set[Names]:
    """Return all pairs of cases that pairs already link by a chain: copies of a scan are one another's copies.

    Args:
        order: names of the first store; a pair within it has them in this order.
    """
    group: dict[tuple[int, str], set[tuple[int, str]]] = {}
    for first, second in pairs:
        ends = (0, first), (0 if within else 1, second)
        joined = set().union(*(group.get(end, {end}) for end in ends))
        group |= dict.fromkeys(joined, joined)
    linked: set[Names] = set()
    for members in {id(members): members for members in group.values()}.values():
        firsts = sorted((name for side, name in members if side == 0), key=order.index)
        seconds = [name for side, name in members if side == 1]
        linked |= set(itertools.combinations(firsts, 2) if within else itertools.product(firsts, seconds))
    return linked


Each = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]


@contextmanager
def _each(workers: int) -> Iterator[Each]:
    """Give a `map` that works in processes, or in this one where workers is 0."""
    if workers == 0:
        yield map
        return
    pool = process_pool(workers)
    try:
        yield pool.map
    except BrokenProcessPool:
        raise LiverError("a worker process was killed, most likely out of memory; use fewer: data.workers=1") from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
