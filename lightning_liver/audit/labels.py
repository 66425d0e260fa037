"""Labels that are worth a look: faults of masks that show without a network, one function for each kind.

A check gets a MaskedScan and returns what it doubts; LABEL_KINDS lists all checks. Bounds were chosen on phantoms and
on eight scans of LiTS, above what masks without this fault have; audit/README.md has their false alarms.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import cv2
import numpy as np

from lightning_liver.audit.cases import of_cases
from lightning_liver.audit.finding import Finding, Severity
from lightning_liver.audit.mask_alignment import align, middle_of_body
from lightning_liver.audit.mask_picture import Mark, PixelBox, draw_mask
from lightning_liver.audit.masked_scan import MaskedScan, read_masked_scan
from lightning_liver.data.store import Store
from lightning_liver.metrics.components import ZYX, Components, Places, Runs, centroids, components
from lightning_liver.metrics.voxel_counts import SpacingMm

PART_ML = 1.0  # of liver apart from the rest; less is a speck
APART_MM = 15.0  # between a speck and the rest; nearer ones are ends of the liver that slices cut off
LESION_APART_MM = 6.0  # between a voxel of tumour and larger tumours; a nearer one is their edge
HOLES_ML = 0.1  # of background inside the liver, together
OUTSIDE_ML = 0.02  # of a tumour that touches no liver
GAP_MM2 = 25.0  # of tumour that one slice lacks
ODD_FRACTION = 0.1  # of the liver's area that one slice has, or lacks, and both beside it do not
STEP_FRACTION = 0.2  # of the liver's area by which two slices differ more than those beside them
END_FRACTION = 0.4  # of the largest area that the liver's last slice has
LEFT_MM = 0.0  # of the middle of the liver, to the patient's left of the middle of the body
SHIFT_GAIN = 0.05  # of the fit, see mask_alignment.MaskAlignment
LEAST_FIT = 0.2  # at the best place: a mask that fits nowhere is not shifted
LIVER_HU = (0, 220)  # of a median
SLICE_HU = (-50, 220)  # of a slice's median: the dome's last slice is half lung
TUMOUR_HU = (-40, 220)  # of a median
AIR_HU, METAL_HU = -150, 300
ODD_VOXELS = 0.3  # fraction of a tumour that is air or metal
SLICE_MM2 = 200.0  # of liver in a slice whose median counts


class DoubtfulLabel(NamedTuple):
    """Place of a mask that a check doubts.

    Args:
        score: as in Finding.
        z: slice in the scan, from 0.
        mark: what to show in the picture.
    """

    text: str
    score: float
    z: int
    mark: Mark


Check = Callable[[MaskedScan], list[DoubtfulLabel]]


class LabelKind(NamedTuple):
    """Kind of doubtful label: severity of its findings, and the check that finds it."""

    severity: Severity
    check: Check


def liver_parts(scan: MaskedScan) -> list[DoubtfulLabel]:
    """Doubt parts of liver, beside the largest, of PART_ML or more."""
    parts = scan.liver_parts
    chosen = _others(parts, lambda ml: ml >= PART_ML, scan)
    ml = parts.voxels * scan.voxel_ml
    return [
        DoubtfulLabel(
            f"{ml[n]:.1f} ml of liver are apart from the other {ml.max():.0f} ml", float(ml[n]), *_place(scan, parts, n)
        )
        for n in chosen
    ]


def specks(scan: MaskedScan) -> list[DoubtfulLabel]:
    """Doubt specks: parts of liver below PART_ML and APART_MM from the rest, and tumours of one voxel."""
    doubts = []
    parts, lesions = scan.liver_parts, scan.lesions
    largest = parts.runs_of(int(parts.voxels.argmax()) + 1)
    small = _others(parts, lambda ml: ml < PART_ML, scan)
    small = [n for n in small if _is_apart(parts.part(n + 1), largest, APART_MM, scan.spacing_mm)]
    if small:
        most = max(small, key=lambda n: int(parts.voxels[n]))
        ml = float(parts.voxels[small].sum()) * scan.voxel_ml
        text = f"{_counted(len(small), 'speck')} of liver, {ml:.2f} ml together, far from the rest"
        doubts.append(DoubtfulLabel(text, ml, *_place(scan, parts, most)))
    tiny = lesions.voxels == 1
    wider = lesions.runs[np.repeat(~tiny, np.diff(lesions.starts))]
    alone = [
        n
        for n in np.flatnonzero(tiny).tolist()
        if _is_apart(lesions.part(n + 1), wider, LESION_APART_MM, scan.spacing_mm)
    ]
    if alone:
        text = f"{_counted(len(alone), 'tumour')} of one voxel ({scan.voxel_ml * 1000:.0f} mm³)"
        doubts.append(DoubtfulLabel(text, len(alone) * scan.voxel_ml, *_place(scan, lesions, alone[0])))
    return doubts


def holes(scan: MaskedScan) -> list[DoubtfulLabel]:
    """Doubt background that liver encloses on all sides."""
    background = components(scan.labels == 0, ZYX)
    z, y, first, last = background.runs.T
    shape = scan.labels.shape
    at_border = [np.isin(z, (0, shape[0] - 1)), np.isin(y, (0, shape[1] - 1)), first == 0, last == shape[2]]
    inside = np.flatnonzero(~background.any(np.logical_or.reduce(at_border)))
    ml = float(background.voxels[inside].sum()) * scan.voxel_ml
    if not len(inside) or ml < HOLES_ML:
        return []
    largest = int(inside[background.voxels[inside].argmax()])
    text = f"{_counted(len(inside), 'hole')} inside the liver, {ml:.2f} ml together"
    return [DoubtfulLabel(text, ml, *_place(scan, background, largest))]


def tumour_outside_liver(scan: MaskedScan) -> list[DoubtfulLabel]:
    """Doubt tumours no voxel of which has liver beside it, corners included."""
    lesions = scan.lesions
    if not len(lesions.voxels):
        return []
    near = _beside(scan.labels == 1)
    touching = lesions.any(
        np.array([near[z, y, first:last].any() for z, y, first, last in lesions.runs.tolist()], bool)
    )
    ml = lesions.voxels * scan.voxel_ml
    chosen = np.flatnonzero(~touching & (ml >= OUTSIDE_ML)).tolist()
    return [
        DoubtfulLabel(
            f"a tumour of {ml[n]:.2f} ml touches no liver{_away(scan, centroids(lesions)[n])}",
            float(ml[n]),
            *_place(scan, lesions, n),
        )
        for n in chosen
    ]


def missing_slices(scan: MaskedScan) -> list[DoubtfulLabel]:
    """Doubt slices without liver between two with it, and slices that lack a tumour that both beside them have."""
    doubts = []
    has_liver = np.array(scan.liver_pixels) > 0
    for start, stop in _runs_without(has_liver):
        count, first = stop - start, scan.box[0].start
        text = f"{_counted(count, 'slice')} without liver between slices with it ({count * scan.spacing_mm[0]:.1f} mm)"
        doubts.append(DoubtfulLabel(text, count * scan.spacing_mm[0], first + start, Mark.beside(count)))
    for z in range(1, len(scan.labels) - 1):
        if has_liver[z]:
            doubts += _lost_tumours(scan, z)
    return doubts


def _lost_tumours(scan: MaskedScan, z: int) -> Iterator[DoubtfulLabel]:
    below, here, above = scan.labels[z - 1 : z + 2] == 2
    both = (below & above).astype(np.uint8)
    if not both.any():
        return
    count, pieces = cv2.connectedComponents(both, connectivity=8)
    for n in range(1, count):
        piece = pieces == n
        mm2 = float(piece.sum()) * scan.pixel_mm2
        if mm2 >= GAP_MM2 and not here[piece].any():
            y, x = np.nonzero(piece)
            text = f"a slice lacks a tumour that the slices beside it have ({mm2:.0f} mm²)"
            yield DoubtfulLabel(text, mm2 / 100, scan.box[0].start + z, Mark.beside(1, _pixel_box(scan, y, x)))


def area_jumps(scan: MaskedScan) -> list[DoubtfulLabel]:
    """Doubt slices whose liver is unlike that beside it: one odd slice, a step, or a cut end.

    For one odd slice, the liver differs from both slices beside it, and those do not differ as much from each other.
    """
    liver = scan.labels > 0
    area = np.array(scan.liver_pixels, float)
    first, used = scan.box[0].start, np.flatnonzero(area)
    near, far = ([float(np.count_nonzero(liver[z] ^ liver[z + n])) for z in range(len(liver) - n)] for n in (1, 2))
    doubts = []
    for z in range(used[0] + 1, used[-1]):
        if not area[z - 1 : z + 2].all():
            continue
        odd = (min(near[z - 1], near[z]) - far[z - 1]) / max(area[z - 1], area[z + 1])
        if odd >= ODD_FRACTION:
            text = f"the liver of a slice differs by {odd:.0%} of its area from that of both slices beside it"
            doubts.append(DoubtfulLabel(text, float(odd), first + z, Mark.beside(1)))
    return doubts + list(_steps(scan, area, near)) + list(_cut_ends(scan, area))


def _steps(scan: MaskedScan, area: np.ndarray, near: Sequence[float]) -> Iterator[DoubtfulLabel]:
    """Doubt two slices that differ far more than those beside them, which is where a part of the liver ends at once."""
    for z in range(2, len(near) - 2):
        if not area[z - 2 : z + 4].all():
            continue
        step = (near[z] - 1.5 * max(near[z - 2], near[z - 1], near[z + 1], near[z + 2])) / max(area[z], area[z + 1])
        if step >= STEP_FRACTION:
            more = near[z] / max(area[z], area[z + 1])
            text = f"the liver of two slices differs by {more:.0%} of its area, far more than beside them"
            yield DoubtfulLabel(text, float(step), scan.box[0].start + z, Mark.beside(2))


def _cut_ends(scan: MaskedScan, area: np.ndarray) -> Iterator[DoubtfulLabel]:
    used, first = np.flatnonzero(area), scan.box[0].start
    for end, z, is_open in (
        ("feet", used[0], first + used[0] > 0),
        ("head", used[-1], first + used[-1] < scan.depth - 1),
    ):
        fraction = area[z] / area.max()
        if is_open and fraction >= END_FRACTION:
            text = f"the liver ends at once at the {end}: its last slice has {fraction:.0%} of its largest area"
            yield DoubtfulLabel(text, float(fraction), int(first + z), Mark.beside(1))


def liver_swapped(scan: MaskedScan) -> list[DoubtfulLabel]:
    """Doubt a liver whose middle lies on the patient's left of the body's."""
    coarse = scan.coarse
    liver = coarse.liver >= 0.5
    if not liver.any():
        return []
    middle = middle_of_body(coarse)
    left_mm = (float(np.nonzero(liver)[2].mean()) - middle) * coarse.spacing_mm[2]
    if left_mm < LEFT_MM:
        return []
    here, there = align(coarse, liver), align(coarse, _mirrored(liver, middle))
    why = (
        "the scan fits the mask better when the mask is mirrored, so the mask alone is"
        if there.best > here.best
        else "mask and scan agree, so both are mirrored, or the organs are (1 person of 10,000)"
    )
    z = scan.box[0].start + int(np.argmax(scan.liver_pixels))
    return [
        DoubtfulLabel(
            f"the liver lies {left_mm:.0f} mm left of the middle of the body: {why}", left_mm, z, Mark(whole=True)
        )
    ]


def _mirrored(liver: np.ndarray, middle: float) -> np.ndarray:
    """Return a mask mirrored at the middle of the body, cut where it leaves the grid."""
    columns = np.rint(2 * middle - np.arange(liver.shape[2])).astype(int)
    inside = (columns >= 0) & (columns < liver.shape[2])
    turned = np.zeros_like(liver)
    turned[:, :, inside] = liver[:, :, columns[inside]]
    return turned


def mask_shifted(scan: MaskedScan) -> list[DoubtfulLabel]:
    """Doubt a mask whose edge lies better on the edges of the scan elsewhere."""
    liver = scan.coarse.liver >= 0.5
    if not liver.any():
        return []
    found = align(scan.coarse, liver)
    gain = found.best - found.fit
    if gain < SHIFT_GAIN or found.best < LEAST_FIT:
        return []
    z, y, x = found.shift_mm
    text = (
        f"the mask fits its liver better {found.distance_mm:.0f} mm away ({z:+.0f} mm to the head, {y:+.0f} to the "
        f"back, {x:+.0f} to the left): {found.best:.2f} in place of {found.fit:.2f} of 1"
    )
    moved = (y / scan.spacing_mm[1], x / scan.spacing_mm[2])
    slices = round(z / scan.spacing_mm[0])
    at = scan.box[0].start + int(np.argmax(scan.liver_pixels))
    return [DoubtfulLabel(text, gain, at, Mark(moved=(slices, *moved)))]


def liver_hu(scan: MaskedScan) -> list[DoubtfulLabel]:
    """Doubt liver whose median HU no liver has, of the whole, else of a slice."""
    liver = scan.labels == 1
    whole = float(np.median(scan.hu[liver])) if liver.any() else None
    first = scan.box[0].start
    if whole is not None and not _within(whole, LIVER_HU):
        z = first + int(np.argmax(scan.liver_pixels))
        return [DoubtfulLabel(f"the liver has a median of {whole:.0f} HU", _beyond(whole, LIVER_HU), z, Mark())]
    doubts = []
    for z, (plane, hu) in enumerate(zip(liver, scan.hu, strict=True)):
        if plane.sum() * scan.pixel_mm2 < SLICE_MM2:
            continue
        median = float(np.median(hu[plane]))
        if not _within(median, SLICE_HU):
            text = f"the liver of a slice has a median of {median:.0f} HU"
            doubts.append(DoubtfulLabel(text, _beyond(median, SLICE_HU), first + z, Mark()))
    return _worst(doubts, "slice")


def tumour_hu(scan: MaskedScan) -> list[DoubtfulLabel]:
    """Doubt tumours whose median HU no tumour has, and that are neither air nor metal."""
    doubts = []
    for n, hu in enumerate(_lesion_hu(scan)):
        median = float(np.median(hu))
        if not _within(median, TUMOUR_HU) and not _substance(hu, scan):
            text = f"a tumour of {len(hu) * scan.voxel_ml:.2f} ml has a median of {median:.0f} HU"
            doubts.append(DoubtfulLabel(text, _beyond(median, TUMOUR_HU), *_place(scan, scan.lesions, n)))
    return doubts


def tumour_air_or_metal(scan: MaskedScan) -> list[DoubtfulLabel]:
    """Doubt tumours much of which is air or metal."""
    doubts = []
    for n, hu in enumerate(_lesion_hu(scan)):
        if found := _substance(hu, scan):
            name, fraction = found
            text = f"{fraction:.0%} of a tumour of {len(hu) * scan.voxel_ml:.2f} ml is {name}"
            doubts.append(DoubtfulLabel(text, fraction, *_place(scan, scan.lesions, n)))
    return doubts


def _lesion_hu(scan: MaskedScan) -> Iterator[np.ndarray]:
    for n in range(1, len(scan.lesions.voxels) + 1):
        yield scan.hu[tuple(scan.lesions.part(n).T)]


def _substance(hu: np.ndarray, scan: MaskedScan) -> tuple[str, float] | None:
    """Return air or metal and its fraction; HU that were cut below METAL_HU are metal at the highest one alone."""
    metal_hu = min(METAL_HU, scan.highest_hu)
    for name, odd in (
        (f"air (below {AIR_HU} HU)", hu <= AIR_HU),
        (f"as dense as metal ({metal_hu} HU or more)", hu >= metal_hu),
    ):
        if odd.mean() >= ODD_VOXELS:
            return name, float(odd.mean())
    return None


EMPTY = "empty_mask"
LABEL_KINDS: Mapping[str, LabelKind] = {
    "liver_swapped": LabelKind("fix", liver_swapped),
    "mask_shifted": LabelKind("fix", mask_shifted),
    "liver_parts": LabelKind("look", liver_parts),
    "holes": LabelKind("look", holes),
    "tumour_outside_liver": LabelKind("look", tumour_outside_liver),
    "specks": LabelKind("look", specks),
    "missing_slices": LabelKind("look", missing_slices),
    "area_jumps": LabelKind("look", area_jumps),
    "liver_hu": LabelKind("look", liver_hu),
    "tumour_hu": LabelKind("look", tumour_hu),
    "tumour_air_or_metal": LabelKind("look", tumour_air_or_metal),
}


def doubtful_labels(store: Store, *, workers: int) -> list[Finding]:
    """Check the mask of every labelled case; findings are in the order of LABEL_KINDS, the worst of each kind first.

    Args:
        workers: processes; 0 works in this one.

    Raises:
        LiverError: a case is damaged, or a process was killed.
    """
    names = store.labelled()
    findings = [
        Finding(
            kind,
            LABEL_KINDS[kind].severity if kind in LABEL_KINDS else "look",
            (name,),
            doubt.text,
            doubt.score,
            z=doubt.z,
            draw=partial(draw_mask, store, name, doubt.z, doubt.mark),
        )
        for name, doubts in zip(names, of_cases(check_case, store, names, workers=workers), strict=True)
        for kind, doubt in doubts
    ]
    order = [EMPTY, *LABEL_KINDS]
    return sorted(findings, key=lambda each: (order.index(each.kind), -each.score))


def check_case(store: Store, name: str) -> list[tuple[str, DoubtfulLabel]]:
    """Return kind and doubt of all checks of a case."""
    cv2.setNumThreads(1)
    scan = read_masked_scan(store, name)
    if scan is None:
        return [
            (
                EMPTY,
                DoubtfulLabel("the mask has no voxel of liver or tumour", 1.0, store.cases[name].shape[0] // 2, Mark()),
            )
        ]
    return [(kind, doubt) for kind, of in LABEL_KINDS.items() for doubt in of.check(scan)]


def _others(parts: Components, wanted: Callable[[np.ndarray], np.ndarray], scan: MaskedScan) -> list[int]:
    """Return the positions of parts, other than the largest, whose volume in ml is wanted."""
    chosen = wanted(parts.voxels * scan.voxel_ml)
    chosen[int(parts.voxels.argmax())] = False
    return np.flatnonzero(chosen).tolist()


def _is_apart(part: Places, others: Runs, least_mm: float, spacing_mm: SpacingMm) -> bool:
    """Return True if no voxel of other runs lies within a distance of the voxels of a part."""
    reach = np.ceil(least_mm / np.array(spacing_mm)).astype(int)
    low, high = part.min(axis=0) - reach, part.max(axis=0) + reach
    z, y, first, last = others.T
    runs = others[
        (z >= low[0]) & (z <= high[0]) & (y >= low[1]) & (y <= high[1]) & (first <= high[2]) & (last > low[2])
    ]
    if not len(runs):
        return True
    for place in part:
        nearest = np.clip(place[2], runs[:, 2], runs[:, 3] - 1)  # along x, of each run
        apart_mm = (np.column_stack((runs[:, :2], nearest)) - place) * spacing_mm
        if float((apart_mm**2).sum(axis=1).min()) < least_mm**2:
            return False
    return True


def _place(scan: MaskedScan, parts: Components, n: int) -> tuple[int, Mark]:
    """Return the slice with most of a part, from 0 in the scan, and a mark around the part in it."""
    runs = parts.runs_of(n + 1)
    z = int(np.bincount(runs[:, 0], runs[:, 3] - runs[:, 2]).argmax())
    inside = runs[runs[:, 0] == z]
    box = _pixel_box(scan, inside[:, 1], np.concatenate((inside[:, 2], inside[:, 3] - 1)))
    return scan.box[0].start + z, Mark(box)


def _pixel_box(scan: MaskedScan, y: np.ndarray, x: np.ndarray) -> PixelBox:
    """Return the box around pixels of the scan's box, on the store's grid."""
    top, left = scan.box[1].start, scan.box[2].start
    return top + int(y.min()), left + int(x.min()), top + int(y.max()) + 1, left + int(x.max()) + 1


def _beside(mask: np.ndarray) -> np.ndarray:
    """Return the voxels in or beside a mask, corners included."""
    wide = np.stack([cv2.dilate(plane.astype(np.uint8), np.ones((3, 3), np.uint8)) for plane in mask]) > 0
    near = wide.copy()
    near[1:] |= wide[:-1]
    near[:-1] |= wide[1:]
    return near


def _away(scan: MaskedScan, place: np.ndarray) -> str:
    """Say how far a voxel (z, y, x) of the box lies from the liver."""
    liver = np.argwhere(scan.labels == 1)
    if not len(liver):
        return ""
    distance = float(np.min(np.linalg.norm((liver - place) * scan.spacing_mm, axis=1)))
    return f"; the next is {distance:.0f} mm from its middle"


def _runs_without(used: np.ndarray) -> list[tuple[int, int]]:
    """Return first and end of each run of unused slices between used ones."""
    places = np.flatnonzero(used)
    return [(int(a) + 1, int(b)) for a, b in pairwise(places) if b > a + 1]


def _within(value: float, bounds: tuple[float, float]) -> bool:
    return bounds[0] <= value <= bounds[1]


def _beyond(value: float, bounds: tuple[float, float]) -> float:
    """Return how far a value lies outside of bounds."""
    return max(bounds[0] - value, value - bounds[1], 0.0)


def _worst(doubts: Sequence[DoubtfulLabel], what: str) -> list[DoubtfulLabel]:
    """Return the worst doubt alone, which says how many there are."""
    if not doubts:
        return []
    worst = max(doubts, key=lambda each: each.score)
    more = f"; {_counted(len(doubts), what)} in all" if len(doubts) > 1 else ""
    return [worst._replace(text=worst.text + more)]


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"
