"""Headers of DICOM files and their frames."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from pydicom import Dataset, dcmread

from lightning_liver.errors import LiverError

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
    "PixelSpacing",
    "RescaleIntercept",
    "RescaleSlope",
    "RescaleType",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
]
_COUNTS = ("SamplesPerPixel", "NumberOfFrames", "Rows", "Columns")
_PREAMBLE = 128  # bytes before the mark of a DICOM file, PS3.10 section 7.1
_MARK = b"DICM"
_ENDINGS = (".dcm", ".dicom", ".ima")
_HU_TYPES = ("", "HU", "HU_MOD", "US")  # US: unspecified
_NO_SCANS = ("SEG", "RTSTRUCT", "RTPLAN", "RTDOSE", "SR", "PR", "KO", "REG", "FID")  # modalities derived from images
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
        deflated: True if the whole file is compressed.
    """

    path: Path
    index: int
    shape: tuple[int, int]
    position_mm: Float[np.ndarray, "3"]
    orientation: Float[np.ndarray, "6"]
    pixel_mm: Float[np.ndarray, "2"]
    slope: float
    intercept: float
    deflated: bool

    @property
    def name(self) -> str:
        return self.path.name if self.index == 0 else f"{self.path.name} frame {self.index + 1}"


def list_entries(folder: Path) -> list[Path]:
    """List the visible entries of a folder, sorted.

    Raises:
        LiverError: no folder, or an unreadable one.
    """
    if not folder.is_dir():
        raise LiverError(f"{folder}: no such folder; give the folder of a DICOM series, or one that holds such folders")
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise LiverError(f"{folder}: cannot be read ({error.strerror}); check its permissions and the disk") from None


def is_dicom(path: Path) -> bool:
    """Return True for a file with DICOM's mark, except DICOMDIR, the table of contents of a medium."""
    if not path.is_file() or path.stem.upper() == "DICOMDIR":
        return False
    try:
        with path.open("rb") as stream:
            return stream.read(_PREAMBLE + len(_MARK))[_PREAMBLE:] == _MARK
    except OSError as error:
        raise LiverError(f"{path}: cannot be read ({error.strerror}); check its permissions and the disk") from None


def is_scan(header: Dataset) -> bool:
    """Return True for an image, False for a derived object: a segmentation, a report, a presentation state."""
    return header.get("Modality") not in _NO_SCANS


def is_scan_file(path: Path) -> bool:
    """Return True if a path is a DICOM file of an image, or a damaged one, which read_headers refuses."""
    if not is_dicom(path):
        return False
    try:
        return is_scan(dcmread(path, stop_before_pixels=True, specific_tags=["Modality"]))
    except Exception:  # on damaged files pydicom raises many kinds of exceptions
        return True


def read_headers(folder: Path) -> dict[Path, Dataset]:
    """Read the headers of the images directly in a folder, sorted by name; other files are ignored.

    Derived objects, such as segmentations, are ignored too if there are images.

    Raises:
        LiverError: no folder, no DICOM file, a file that is named as DICOM but is none, or a damaged one.
    """
    files = [path for path in list_entries(folder) if path.is_file()]
    found = {path: _header(path) for path in files if _counts(path)}
    headers = {path: header for path, header in found.items() if is_scan(header)} or found
    if not headers:
        raise LiverError(
            f"{folder}: none of its {len(files)} files is DICOM; give the folder that holds the series' files directly"
        )
    return headers


def read_frames(path: Path, header: Dataset) -> list[Frame]:
    """Return the frames of a file: one, or several of an enhanced multi-frame file.

    Raises:
        LiverError: position, orientation, spacing or rescale are missing, not finite or invalid; values are not HU.
    """
    count = int(header.get("NumberOfFrames") or 1)
    groups = header.get("PerFrameFunctionalGroupsSequence")
    if (count > 1 or groups is not None) and len(groups or ()) != count:
        raise LiverError(
            f"{path}: {count} frames, but positions (per-frame functional groups) for {len(groups or ())}; {_ANEW}"
        )
    return [_frame(path, header, index) for index in range(count)]


def _counts(path: Path) -> bool:
    marked = is_dicom(path)
    if not marked and path.suffix.lower() in _ENDINGS and path.stem.upper() != "DICOMDIR":
        raise LiverError(
            f"{path}: named as DICOM, but without the mark of a DICOM file ({path.stat().st_size} bytes); "
            "copy it again, or remove it if it is none of the series"
        )
    return marked


def _header(path: Path) -> Dataset:
    try:
        header = dcmread(path, stop_before_pixels=True, specific_tags=_TAGS)
        for _ in header.iterall():  # pydicom converts a value on access
            pass
        for name in _COUNTS:
            int(header.get(name) or 0)
        return header
    except Exception as error:  # on damaged files pydicom raises many kinds of exceptions
        raise LiverError(f"{path}: the DICOM header is damaged ({error}); copy or export the file again") from None


def _frame(path: Path, header: Dataset, index: int) -> Frame:
    rescale = _macro(path, header, index, "PixelValueTransformationSequence")
    _refuse_other_unit(path, rescale)
    pixel_mm = _numbers(path, _macro(path, header, index, "PixelMeasuresSequence"), "PixelSpacing", 2)
    if pixel_mm.min() <= 0:
        raise LiverError(f"{path}: PixelSpacing is {pixel_mm.tolist()} mm, positive numbers are needed; {_ANEW}")
    position = _macro(path, header, index, "PlanePositionSequence")
    orientation = _macro(path, header, index, "PlaneOrientationSequence")
    return Frame(
        path,
        index,
        (int(header.Rows), int(header.Columns)),
        _numbers(path, position, "ImagePositionPatient", 3),
        _numbers(path, orientation, "ImageOrientationPatient", 6),
        pixel_mm,
        float(_numbers(path, rescale, "RescaleSlope", 1)[0]),
        float(_numbers(path, rescale, "RescaleIntercept", 1)[0]),
        header.file_meta.TransferSyntaxUID.is_deflated,
    )


def _macro(path: Path, header: Dataset, index: int, name: str) -> Dataset:
    """Return the functional group of a frame: its own, else the shared one; a classic file is its own group."""
    if "PerFrameFunctionalGroupsSequence" not in header:
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
    if unit not in _HU_TYPES:
        raise LiverError(f"{path}: the values are {unit} (RescaleType), HU are needed; export the series in HU")
