"""Headers of DICOM files and their frames."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from warnings import warn

import numpy as np
from jaxtyping import Float
from pydicom import Dataset
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from lightning_liver.errors import LiverError, LiverWarning
from lightning_liver.imageio.dicom_files import (
    is_dicom,
    is_slice,
    list_entries,
    read_dicom,
    refuse_false_name,
    syntax_of,
    warn_left_out,
)
from lightning_liver.imageio.limits import MOST_FRAMES, refuse_large

_TAGS = [
    "SOPClassUID",
    "ImageType",
    "Modality",
    "SeriesDescription",
    "PatientName",
    "PatientID",
    "SeriesInstanceUID",
    "SeriesNumber",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "SamplesPerPixel",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "PixelSpacing",
    "RescaleIntercept",
    "RescaleSlope",
    "RescaleType",
]
_GROUPS = ["SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"]
_COUNTS = ("SamplesPerPixel", "NumberOfFrames", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit")
_HU_TYPES = ("", "HU", "HU_MOD", "HOUNSFIELD", "HOUNSFIELD UNIT", "HOUNSFIELD UNITS", "US")  # US: unspecified
AIR_HU, _MOST_HU = -1024, 3071  # of a CT in 12 bits
_LEAST_PACKED = 64  # bytes of a compressed frame with its functional groups
_MOST_DEFLATED = 1032  # largest ratio of unpacked to packed bytes
_ANEW = "export the series again, from the scanner or the archive"


@dataclass(frozen=True)
class Frame:
    """A slice: file, position and scale of its pixels.

    Args:
        path, index: the file and the frame's index in it, from 0.
        shape: rows and columns.
        position_mm: centre of the first pixel (LPS), ImagePositionPatient.
        orientation: direction along a row (to further columns), then down a column (LPS), ImageOrientationPatient.
        pixel_mm: distance between the centres of rows, then of columns, PixelSpacing.
        slope, intercept: HU = slope * pixel + intercept.
        padding: lowest and highest stored value that are declared to stand for no measurement and give no HU of a CT;
            None without any.
        whole: transfer syntax of a file that must be read whole, as all of it is compressed, or it names no syntax.
    """

    path: Path
    index: int
    shape: tuple[int, int]
    position_mm: Float[np.ndarray, "3"]
    orientation: Float[np.ndarray, "6"]
    pixel_mm: Float[np.ndarray, "2"]
    slope: float
    intercept: float
    padding: tuple[int, int] | None
    whole: UID | None

    @property
    def name(self) -> str:
        return self.path.name if self.index == 0 else f"{self.path.name} frame {self.index + 1}"


def read_headers(folder: Path) -> dict[Path, Dataset]:
    """Read the headers of the slices of a CT directly in a folder, sorted by name; files of no DICOM are ignored.

    DICOM files of another kind, such as scouts, reports and segmentations, are left out with a warning. Without a slice
    all headers are returned.

    Raises:
        LiverError: no folder, no DICOM file, a file that is named as DICOM but is none, or a damaged one.
    """
    files = [path for path in list_entries(folder) if path.is_file()]
    found = {path: _header(path) for path in files if is_dicom(path)}
    for path in files:
        if path not in found:
            refuse_false_name(path)
    if not found:
        raise LiverError(
            f"{folder}: none of its {len(files)} files is DICOM; give the folder that holds the series' files directly"
        )
    slices = {path: header for path, header in found.items() if is_slice(header)}
    if not slices:
        return found
    warn_left_out(folder, {path: header for path, header in found.items() if path not in slices}, slices)
    _warn_no_syntax(folder, slices)
    return slices


def read_frames(path: Path, header: Dataset) -> list[Frame]:
    """Return the frames of a file: one, or several of an enhanced multi-frame file.

    Raises:
        LiverError: position, orientation, spacing or rescale are missing, not finite or invalid; values are not HU.
    """
    count = int(header.get("NumberOfFrames") or 1)
    groups = header.get("PerFrameFunctionalGroupsSequence") or ()
    if (count > 1 or groups) and len(groups) != count:
        raise LiverError(
            f"{path}: {count} frames, but positions (per-frame functional groups) for {len(groups)}; {_ANEW}"
        )
    return [_frame(path, header, index) for index in range(count)]


def _warn_no_syntax(folder: Path, headers: Mapping[Path, Dataset]) -> None:
    without = {path: header for path, header in headers.items() if not header.file_meta.get("TransferSyntaxUID")}
    if without:
        path, header = next(iter(without.items()))
        text = (
            f"{len(without)} files, such as {path.name}, name no transfer syntax; {syntax_of(header).name} is assumed"
        )
        warn(f"{folder}: {text}", LiverWarning, stacklevel=3)


def _header(path: Path) -> Dataset:
    """Read the header of a file, and its functional groups only if it can hold as many frames as it promises."""
    try:
        header = read_dicom(path, stop_before_pixels=True, specific_tags=_TAGS)
        sizes = {name: int(header.get(name) or 0) for name in _COUNTS}
        if is_slice(header):
            _refuse_empty_promise(path, header, sizes)
        if sizes["NumberOfFrames"] or "PixelSpacing" not in header:
            groups = read_dicom(path, stop_before_pixels=True, specific_tags=_GROUPS)
            for name in _GROUPS:
                if name in groups:
                    header.add(groups[name])
        for _ in header.iterall():  # pydicom converts a value on access
            pass
        return header
    except LiverError:
        raise
    except Exception as error:  # on damaged files pydicom raises many kinds of exceptions
        raise LiverError(f"{path}: the DICOM header is damaged ({error}); copy or export the file again") from None


def _refuse_empty_promise(path: Path, header: Dataset, sizes: Mapping[str, int]) -> None:
    """Refuse more frames than are read, or than the file has bytes for."""
    frames, size = max(sizes["NumberOfFrames"], 1), path.stat().st_size
    if frames > MOST_FRAMES:
        raise LiverError(f"{path}: {frames} frames, at most {MOST_FRAMES} of a file are read; {_ANEW}")
    refuse_large(path, (frames, sizes["Rows"], sizes["Columns"]))
    syntax = syntax_of(header)
    is_known = syntax.is_transfer_syntax
    is_packed, is_deflated = not is_known or syntax.is_encapsulated, is_known and syntax.is_deflated
    pixels = frames * sizes["Rows"] * sizes["Columns"] * max(sizes["BitsAllocated"] // 8, 1)
    least = frames * _LEAST_PACKED if is_packed else pixels
    held = size * _MOST_DEFLATED if is_deflated else size
    if frames > 1 and least > held:
        raise LiverError(f"{path}: {frames} frames need {least} bytes, the file has {size}; {_ANEW}")


def _frame(path: Path, header: Dataset, index: int) -> Frame:
    rescale = _macro(path, header, index, "PixelValueTransformationSequence")
    _refuse_other_unit(path, rescale)
    pixel_mm = _numbers(path, _macro(path, header, index, "PixelMeasuresSequence"), "PixelSpacing", 2)
    if pixel_mm.min() <= 0:
        raise LiverError(f"{path}: PixelSpacing is {pixel_mm.tolist()} mm, positive numbers are needed; {_ANEW}")
    position = _macro(path, header, index, "PlanePositionSequence")
    orientation = _macro(path, header, index, "PlaneOrientationSequence")
    named = header.file_meta.get("TransferSyntaxUID")
    slope, intercept = (float(_numbers(path, rescale, name, 1)[0]) for name in ("RescaleSlope", "RescaleIntercept"))
    return Frame(
        path,
        index,
        (int(header.Rows), int(header.Columns)),
        _numbers(path, position, "ImagePositionPatient", 3),
        _numbers(path, orientation, "ImageOrientationPatient", 6),
        pixel_mm,
        slope,
        intercept,
        _padding(path, header, slope, intercept),
        None if named and named != DeflatedExplicitVRLittleEndian else syntax_of(header),
    )


def _padding(path: Path, header: Dataset, slope: float, intercept: float) -> tuple[int, int] | None:
    """Return the lowest and highest stored value of padding, PS3.3 C.7.5.1.1.2, signed if the pixels are.

    Some scanners declare -2000 as 63536, or the other way round. A value that tissue or air can have is none: some
    headers declare 0, which is water.
    """
    declared = header.get("PixelPaddingValue")
    if declared is None or declared == "":
        return None
    limit = header.get("PixelPaddingRangeLimit")
    signed, full = header.get("PixelRepresentation") == 1, 1 << int(header.get("BitsAllocated") or 16)
    try:
        values = sorted(int(value) % full for value in (declared, declared if limit in (None, "") else limit))
    except (TypeError, ValueError) as error:
        raise LiverError(f"{path}: PixelPaddingValue is unreadable ({error}); {_ANEW}") from None
    low, high = sorted(value - full if signed and value >= full // 2 else value for value in values)
    possible = all(AIR_HU <= slope * value + intercept <= _MOST_HU for value in (low, high))
    return None if possible else (low, high)


def _macro(path: Path, header: Dataset, index: int, name: str) -> Dataset:
    """Return the functional group of a frame: its own, else the shared one; a classic file is its own group."""
    if not header.get("PerFrameFunctionalGroupsSequence"):
        return header
    own = header.PerFrameFunctionalGroupsSequence[index]
    for groups in (own, *header.get("SharedFunctionalGroupsSequence", ())):
        if groups.get(name):
            macro: Dataset = groups[name].value[0]
            return macro
    raise LiverError(f"{path}: frame {index + 1} has no {name}; {_ANEW}")


def _numbers(path: Path, group: Dataset, keyword: str, count: int) -> Float[np.ndarray, " count"]:
    seen = "missing"
    try:
        if keyword in group:
            values: np.ndarray = np.array(group[keyword].value, dtype=np.float64).ravel()
            if values.size == count and np.isfinite(values).all():
                return values
            seen = str(values.tolist())
    except (TypeError, ValueError) as error:
        seen = f"unreadable: {error}"
    raise LiverError(f"{path}: {keyword} is {seen}; finite numbers are needed, {count} of them; {_ANEW}")


def _refuse_other_unit(path: Path, rescale: Dataset) -> None:
    unit = str(rescale.get("RescaleType") or "")
    if unit.strip().upper() not in _HU_TYPES:
        raise LiverError(f"{path}: the values are {unit} (RescaleType), HU are needed; export the series in HU")
