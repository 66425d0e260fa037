"""Sentences that say what was seen of a pair of scans."""

from typing import NamedTuple

import numpy as np

from lightning_liver.audit.alignment import Alignment
from lightning_liver.audit.same_scan import Likeness, SpineScan, common_part
from lightning_liver.audit.spine import GRID_MM
from lightning_liver.data.store import HU_BIN, HU_RANGE, CaseRecord

MISSING_MM = 10.0  # less than this beyond the common part is no crop
_OTHER_SPACING = 0.05  # relative difference
_OTHER_SIZE = 0.08  # relative difference in plane of one patient's bones, which says that a header is wrong
_PILED_UP = 3  # times as many voxels in the last bin of HU as in the one before: HU were cut there


class Extent(NamedTuple):
    """Part of a scan that another shows, too.

    Args:
        common: number of its slices that the other shows.
        slices: number of its slices.
        beyond_mm: height of what the other does not show.
    """

    common: int
    slices: int
    beyond_mm: float


def extents(first: SpineScan, second: SpineScan, alignment: Alignment) -> tuple[Extent, Extent]:
    """Return which part of each of two aligned scans the other shows."""
    levels = np.array(common_part(first, second, alignment))
    return _extent(first, levels), _extent(second, alignment.level(levels))


def _extent(scan: SpineScan, levels: np.ndarray) -> Extent:
    step = scan.spacing_mm[0]
    common_mm = float(levels[1] - levels[0]) * GRID_MM
    common = min(scan.depth, round(common_mm / step) + 1)
    return Extent(common, scan.depth, (scan.depth - 1) * step - common_mm)


def copy_text(first: SpineScan, second: SpineScan, alignment: Alignment) -> str:
    """Say what was done to the second of two copies of a scan."""
    one, two = (scan.store.cases[scan.name] for scan in (first, second))
    seen = ["flipped left to right"] if alignment.mirrored else []
    whole, part = extents(first, second, alignment)
    if whole.beyond_mm > MISSING_MM:
        seen.append(f"cropped to {whole.common} of {whole.slices} slices")
    if part.beyond_mm > MISSING_MM:
        seen.append(f"of which {first.name} has {part.common} of {part.slices} slices")
    spacings = one.native_spacing_mm, two.native_spacing_mm
    if any(abs(a / b - 1) > _OTHER_SPACING for a, b in zip(*spacings, strict=True)):
        seen.append(f"resampled from {_spacing(spacings[0])} to {_spacing(spacings[1])}")
    if (range_hu := _cut_hu(two)) != _cut_hu(one) and None not in range_hu:
        seen.append(f"HU cut to [{range_hu[0]}, {range_hu[1]}]")
    return ", ".join(["the same scan", *(seen or ["under another name"])])


def overlap_text(first: SpineScan, second: SpineScan, alignment: Alignment) -> str:
    """Say how much two parts of one scan have in common."""
    one, two = extents(first, second, alignment)
    flipped = ", one of them flipped left to right" if alignment.mirrored else ""
    return (
        f"overlapping parts of one scan{flipped}: {one.common} of {one.slices} slices of {first.name} are "
        f"{two.common} of {two.slices} slices of {second.name}"
    )


def patient_text(first: SpineScan, second: SpineScan, alignment: Alignment, likeness: Likeness) -> str:
    """Say how well the bones of two scans of a patient agree."""
    low, high = common_part(first, second, alignment)
    text = f"the same patient: bones along {(high - low) * GRID_MM:.0f} mm of spine agree ({alignment.score:.2f})"
    text += f", noise does not ({max(likeness.grain, 0):.2f}), so it is another acquisition"
    if alignment.mirrored:
        text += "; one of them is flipped left to right"
    factor = float(np.exp(alignment.zoom))
    if abs(factor - 1) > _OTHER_SIZE:
        text += f"; bones of {second.name} must be enlarged by {factor:.2f} in plane, so a spacing is wrong"
    return text


def _spacing(spacing_mm: tuple[float, float, float]) -> str:
    return " x ".join(f"{mm:.3g}" for mm in spacing_mm) + " mm"


def _cut_hu(record: CaseRecord) -> tuple[int | None, int | None]:
    """Return where a scan's HU were cut at both ends, to HU_BIN; None at an end where they thin out."""
    counts = np.array(record.hu_counts)
    present = np.flatnonzero(counts)
    low, high = int(present[0]), int(present[-1])
    ends = []
    for end, inner in ((low, min(low + 1, high)), (high, max(high - 1, low))):
        cut = counts[end] > _PILED_UP * counts[inner]
        ends.append(HU_RANGE[0] + HU_BIN * end if cut else None)
    return ends[0], ends[1]
