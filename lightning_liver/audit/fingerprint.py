"""Fingerprint of a data set: grids, intensities, noise, contrast phase and tumours of its scans.

A scan is measured on slices of the prepared store, so noise is what a network sees at that pixel spacing. Clipping is
read from the histogram of the scan's own voxels, and quantisation from a plane of its file.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import blosc2
import cv2
import numpy as np
from jaxtyping import Float, Int16, UInt8

from lightning_liver.audit.aorta import aorta_hu
from lightning_liver.audit.cases import of_cases
from lightning_liver.data.address import place_of
from lightning_liver.data.store import HU_BIN, HU_RANGE, CaseRecord, Store
from lightning_liver.errors import LiverError
from lightning_liver.imageio.nifti import read_middle_plane
from lightning_liver.metrics.components import LPS, axial_diameters_mm, components
from lightning_liver.metrics.voxel_counts import voxel_ml
from lightning_liver.tables import Row

Phase = Literal["arterial", "portal", "late", "native"]

_LIVER_SLICES = 16  # slices of a scan in which HU and noise are measured, evenly over the liver
_FEWEST_PIXELS = 200  # of liver, from which HU and noise are told
_HIGH_PASS_MM = 14.0  # side of the square whose mean is taken away from a pixel to leave noise
_EDGE_MM = 4.0  # of the liver that is not measured: partial volume

_CUT_LOW_HU, _CUT_HIGH_HU = -900, 1000  # a lowest HU above, a highest below may be cut
_CUT_FRACTION = 1e-4  # of all voxels that have the highest or lowest HU of a scan that is cut
_CUT_RATIO = 4.0  # of that number to the number in the bin beside it

_SOFT_HU = (-150.0, 200.0)  # here nearly every whole HU occurs in a plane of a scan
_FEWEST_SOFT_PIXELS = 8000  # of a plane for that: on phantoms 96 % of the HU or more occurred

_NATIVE_LIVER_HU = 75.0  # above the 58 (standard deviation 9) of a liver without contrast medium, 85 of LiTS's least
_ENHANCED_HU = 100.0  # of the aorta; discs of the spine, beside it, have 80 to 95
_PORTAL_HU, _ARTERIAL_HU = 125.0, 200.0  # lowest of the aorta
_ARTERIAL_ABOVE_LIVER_HU = 85.0

_CUT_LIVER = 0.15  # area of liver in a scan's first or last slice, of its largest slice, from which on liver is missing


@dataclass(frozen=True)
class CaseFingerprint:
    """Fingerprint of a scan; a field is None where it cannot be told, or without a mask.

    Args:
        slice_mm, pixel_mm: the scan's own spacing along z and x.
        rows, slices: the scan's own grid.
        coverage_mm: along z.
        field_mm: field of view along x.
        lowest_hu, highest_hu: of all voxels, within the store's range of HU.
        cut_low, cut_high: HU below `lowest_hu`, or above `highest_hu`, were cut.
        step_hu: mean distance of the HU that occur in soft tissue; 1 for a scan of whole HU.
        noise_hu: standard deviation of noise in the liver, on the store's grid.
        liver_hu, tumour_hu: median HU; the liver's without tumour.
        aorta_hu: median HU; None where nothing at its place is brighter than muscle.
        phase: of the contrast medium.
        liver_ml, tumour_ml: volumes, tumour included in the liver's.
        tumours: number of tumours.
        largest_mm: longest axial diameter of a tumour.
        contrast_hu: tumour minus liver.
        cut_liver: the scan begins or ends within the liver: head, feet, or both.
    """

    case: str
    slice_mm: float
    pixel_mm: float
    rows: int
    slices: int
    coverage_mm: float
    field_mm: float
    lowest_hu: float
    highest_hu: float
    cut_low: bool
    cut_high: bool
    step_hu: float | None
    noise_hu: float | None
    liver_hu: float | None
    aorta_hu: float | None
    phase: Phase | None
    liver_ml: float | None
    tumours: int | None
    tumour_ml: float | None
    largest_mm: float | None
    tumour_hu: float | None
    contrast_hu: float | None
    cut_liver: str | None

    def row(self) -> Row:
        """Return the fields as a row of fingerprint.csv."""
        return asdict(self)


def fingerprints(store: Store, *, workers: int) -> list[CaseFingerprint]:
    """Measure every case of a store, in its order.

    Args:
        workers: processes; 0 works in this one.

    Raises:
        LiverError: a case is damaged and cannot be prepared anew, or a process was killed.
    """
    return of_cases(fingerprint_of, store, list(store.cases), workers=workers)


def fingerprint_of(store: Store, name: str) -> CaseFingerprint:
    """Measure a case; see fingerprints."""
    cv2.setNumThreads(1)
    blosc2.set_nthreads(1)
    record = store.cases[name]
    cut_low, cut_high, lowest, highest = _range_hu(record)
    slices = [_LabelledSlice.read(store, name, z) for z in _chosen(record)]
    if slices and cut_low:
        lowest = float(min(each.hu.min() for each in slices))  # the histogram has bins of 4 HU
    if slices and cut_high:
        highest = float(max(each.hu.max() for each in slices))
    liver_hu, noise_hu = _liver(slices, record)
    brightest = aorta_hu([each.hu for each in slices], record.spacing_mm, liver_hu=liver_hu)
    of_aorta = brightest if brightest is not None and brightest >= _ENHANCED_HU else None  # else perhaps muscle
    tumours = _tumours(store, record)
    tumour_hu = tumours.hu if tumours else None
    return CaseFingerprint(
        case=name,
        slice_mm=record.native_spacing_mm[0],
        pixel_mm=record.native_spacing_mm[2],
        rows=record.native_shape[1],
        slices=record.native_shape[0],
        coverage_mm=record.native_shape[0] * record.native_spacing_mm[0],
        field_mm=record.native_shape[2] * record.native_spacing_mm[2],
        lowest_hu=lowest,
        highest_hu=highest,
        cut_low=cut_low,
        cut_high=cut_high,
        step_hu=_step_hu(place_of(record.volume)),
        noise_hu=noise_hu,
        liver_hu=liver_hu,
        aorta_hu=of_aorta,
        phase=None if is_picture(lowest, highest) else phase_of(liver_hu, of_aorta),
        liver_ml=sum(record.liver_pixels) * voxel_ml(record.spacing_mm) if record.labelled else None,
        tumours=tumours.number if tumours else None,
        tumour_ml=tumours.ml if tumours else None,
        largest_mm=tumours.largest_mm if tumours else None,
        tumour_hu=tumour_hu,
        contrast_hu=tumour_hu - liver_hu if tumour_hu is not None and liver_hu is not None else None,
        cut_liver=_cut_liver(record.liver_pixels),
    )


def phase_of(liver_hu: float | None, aorta_hu: float | None) -> Phase | None:
    """Estimate the phase of the contrast medium; None where it cannot be told.

    The bounds lie between the ranges of the phantoms, which were measured on LiTS: portal, late and native livers of
    86 to 124, 85 to 98 and 50 to 66 HU, aortas of 128 to 165, 104 to 122 and 34 to 46 HU, arterial ones from 220 HU.
    No radiologist's reading was at hand to test them on scans.
    """
    if aorta_hu is not None:
        if aorta_hu >= _ARTERIAL_HU and (liver_hu is None or aorta_hu - liver_hu >= _ARTERIAL_ABOVE_LIVER_HU):
            return "arterial"
        if aorta_hu >= _PORTAL_HU:
            return "portal"
        return "late" if liver_hu is None or liver_hu >= _NATIVE_LIVER_HU else None
    return "native" if liver_hu is not None and liver_hu < _NATIVE_LIVER_HU else None


def is_picture(lowest_hu: float, highest_hu: float) -> bool:
    """Return True for the values of a picture of 8 bits: no air and no bone."""
    return lowest_hu >= 0 and highest_hu <= 255


class _LabelledSlice(NamedTuple):
    hu: Int16[np.ndarray, "y x"]
    labels: UInt8[np.ndarray, "y x"] | None

    @staticmethod
    def read(store: Store, name: str, z: int) -> "_LabelledSlice":
        labels = store.read(name, "labels", z) if store.cases[name].labelled else None
        return _LabelledSlice(store.read(name, "hu", z), labels)


class _Tumours(NamedTuple):
    number: int
    ml: float
    largest_mm: float | None
    hu: float | None


def _chosen(record: CaseRecord) -> list[int]:
    """Return slices evenly over the liver, or over the scan where no liver is marked."""
    with_liver = np.flatnonzero(record.liver_pixels) if any(record.liver_pixels) else np.arange(record.shape[0])
    places = np.linspace(0, len(with_liver) - 1, min(_LIVER_SLICES, len(with_liver)))
    return sorted({int(with_liver[round(place)]) for place in places})


def _range_hu(record: CaseRecord) -> tuple[bool, bool, float, float]:
    """Return whether low and high HU were cut, and the lowest and the highest HU, from counts in bins of HU_BIN."""
    counts = np.array(record.hu_counts)
    used = np.flatnonzero(counts)
    if not used.size:
        return False, False, 0.0, 0.0
    first, last = int(used[0]), int(used[-1])
    lowest, highest = (float(HU_RANGE[0] + HU_BIN * place) for place in (first, last))
    cut_low = lowest > _CUT_LOW_HU and _is_cut(counts, first, 1)
    cut_high = highest < _CUT_HIGH_HU and _is_cut(counts, last, -1)
    return cut_low, cut_high, lowest, highest


def _is_cut(counts: np.ndarray, end: int, inwards: int) -> bool:
    """Return True if many voxels have the value at an end of the histogram, and far fewer the one beside it."""
    beside = end + 2 * inwards  # the next bin may have a part of the steps alone
    number = int(counts[beside]) if 0 <= beside < len(counts) else 0
    return bool(counts[end] >= max(_CUT_FRACTION * counts.sum(), _CUT_RATIO * max(number, 1)))


def _step_hu(volume: Path) -> float | None:
    """Return the mean distance of the values that occur in soft tissue; None where too few voxels tell it."""
    try:
        values = read_middle_plane(volume)
    except LiverError:  # moved since it was prepared, or no copy of its address is here any more
        return None
    low, high = _SOFT_HU
    soft = values[(values > max(low, float(values.min()))) & (values < min(high, float(values.max())))]
    if soft.size < _FEWEST_SOFT_PIXELS:
        return None
    levels = len(np.unique(np.rint(soft)))
    span = float(np.rint(soft.max()) - np.rint(soft.min()) + 1)
    return span / levels


def _liver(slices: Sequence[_LabelledSlice], record: CaseRecord) -> tuple[float | None, float | None]:
    """Return the median HU of the liver without tumour and its edge, and the standard deviation of its noise."""
    edge = max(1, round(_EDGE_MM / record.spacing_mm[2]))
    kernel = np.ones((2 * edge + 1, 2 * edge + 1), np.uint8)
    hu, noise = [], []
    for each in slices:
        if each.labels is not None and (each.labels == 1).any():
            inside = cv2.erode((each.labels == 1).astype(np.uint8), kernel).astype(bool)
            hu.append(each.hu[inside])
            noise.append(_high_pass(each.hu, record.spacing_mm[2])[inside])
    pixels = np.concatenate(hu) if hu else np.zeros(0)
    if pixels.size < _FEWEST_PIXELS:
        return None, None
    deviation = 1.4826 * float(np.median(np.abs(np.concatenate(noise))))
    return float(np.median(pixels)), deviation


def _high_pass(hu: Int16[np.ndarray, "y x"], pixel_mm: float) -> Float[np.ndarray, "y x"]:
    """Return a slice minus its mean in a square of _HIGH_PASS_MM: noise, also where neighbours are correlated."""
    side = 2 * max(1, round(_HIGH_PASS_MM / pixel_mm / 2)) + 1
    image = hu.astype(np.float32)
    filtered: np.ndarray = image - cv2.blur(image, (side, side))
    return filtered


def _tumours(store: Store, record: CaseRecord) -> _Tumours | None:
    """Return number, volume, largest diameter and HU of the tumours; None without a mask."""
    if not record.labelled:
        return None
    slices = np.flatnonzero(record.tumour_pixels)
    if not slices.size:
        return _Tumours(0, 0.0, None, None)
    planes = range(int(slices[0]), int(slices[-1]) + 1)
    mask = np.stack([store.read(record.name, "labels", z) == 2 for z in planes])
    hu = np.concatenate([store.read(record.name, "hu", z)[mask[z - planes[0]]] for z in planes])
    parts = components(mask, LPS)
    largest = float(axial_diameters_mm(parts, record.spacing_mm).max())
    ml = sum(record.tumour_pixels) * voxel_ml(record.spacing_mm)
    return _Tumours(len(parts.voxels), ml, largest, float(np.median(hu)))


def _cut_liver(pixels: Sequence[int]) -> str | None:
    """Return where a scan ends within the liver: head, feet, or both."""
    most = max(pixels, default=0)
    if not most:
        return None
    ends: Mapping[str, int] = {"feet": pixels[0], "head": pixels[-1]}
    return " and ".join(name for name, count in ends.items() if count > _CUT_LIVER * most) or None
