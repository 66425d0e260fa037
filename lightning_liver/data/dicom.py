"""DICOM series in: slices put in order by where they lie, and refused where they make no regular volume."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pydicom
from jaxtyping import Float, Int16
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from lightning_liver.data.nifti_geometry import Affine
from lightning_liver.errors import LiverError
from lightning_liver.volume import Volume, canonical_spacing_mm, to_canonical

_EVEN = 0.01  # of the distance of slices
_ALONG_MM = 0.01  # sideways step from slice to slice that rounding makes; more is a tilted gantry
_INT16 = np.iinfo(np.int16)
_LPS_TO_RAS = np.diag((-1.0, -1.0, 1.0, 1.0))


class _Frame(NamedTuple):
    """A slice: where it is kept and where it lies.

    Args:
        number: of the frame in a multi-frame file, 0 in others.
        position: of the centre of its first pixel, in mm (LPS).
        along: directions of a row (from pixel to pixel) and of a column.
        pixel_mm: distance of rows, of columns.
    """

    path: Path
    number: int
    position: Float[np.ndarray, "3"]
    along: Float[np.ndarray, "2 3"]
    pixel_mm: tuple[float, float]
    size: tuple[int, int]
    slope: float
    intercept: float


def series_folders(root: Path) -> list[Path]:
    """The folders at or below root that hold a DICOM file with an image."""
    folders = {path.parent for path in sorted(root.rglob("*")) if path.is_file() and _is_dicom(path)}
    return sorted(folders)


def read_series(folder: Path) -> Volume:
    """Read the one series of a folder; values are rescaled to HU slice by slice. What is no DICOM image is ignored.

    Raises:
        LiverError: no image; several patients or series; another modality than CT; slices of other size or direction,
            such as a localizer; a tilted gantry; slices that are missing, doubled or unevenly spaced; pixels that are
            compressed in a way for which a package is missing, or values beyond int16.
    """
    headers = _headers(folder)
    _refuse_several(folder, headers)
    frames = [frame for path, header in headers.items() for frame in _frames(path, header)]
    _refuse_other_planes(folder, frames)
    normal = np.cross(*frames[0].along)
    frames.sort(key=lambda frame: float(frame.position @ normal))
    step_mm = _step_mm(folder, frames, normal)
    hu = _pixels(frames)
    affine = _affine(frames[0], step_mm)
    i, j, k = (float(np.linalg.norm(column)) for column in affine[:3, :3].T)
    canonical = np.ascontiguousarray(to_canonical(hu, affine))
    return Volume(canonical, canonical_spacing_mm((i, j, k), affine), affine)


def _is_dicom(path: Path) -> bool:
    """Whether the file has DICOM's mark and is no directory of files (DICOMDIR)."""
    if path.name.upper() == "DICOMDIR" or path.name.startswith("."):
        return False
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def _headers(folder: Path) -> dict[Path, Dataset]:
    files = [path for path in sorted(folder.iterdir()) if path.is_file() and _is_dicom(path)]
    headers: dict[Path, Dataset] = {}
    for path in files:
        try:
            header = pydicom.dcmread(path, stop_before_pixels=True)
        except (InvalidDicomError, OSError, ValueError) as error:
            raise LiverError(f"{path}: cannot be read ({error}); copy the series again") from error
        if "Rows" in header:
            headers[path] = header
    if not headers:
        raise LiverError(f"{folder}: no DICOM images are there")
    return headers


def _refuse_several(folder: Path, headers: dict[Path, Dataset]) -> None:
    wrong = {str(header.get("Modality", "?")) for header in headers.values()} - {"CT"}
    if wrong:
        raise LiverError(f"{folder}: the modality is {', '.join(sorted(wrong))}, CT is needed; take out what is no CT")
    for keyword, what in (("PatientID", "patients"), ("SeriesInstanceUID", "series")):
        found = Counter(str(header.get(keyword, "")) for header in headers.values())
        if len(found) > 1:
            listed = ", ".join(f"{name or 'without a name'} ({count} files)" for name, count in found.most_common())
            raise LiverError(f"{folder}: {len(found)} {what} in one folder: {listed}; give each a folder of its own")


def _frames(path: Path, header: Dataset) -> list[_Frame]:
    try:
        if "PerFrameFunctionalGroupsSequence" not in header:
            return [_frame(path, 0, header, header, header, header, header)]
        shared = header.SharedFunctionalGroupsSequence[0]
        return [
            _frame(
                path,
                number,
                header,
                _group(one, shared, "PlanePositionSequence"),
                _group(one, shared, "PlaneOrientationSequence"),
                _group(one, shared, "PixelMeasuresSequence"),
                _group(one, shared, "PixelValueTransformationSequence"),
            )
            for number, one in enumerate(header.PerFrameFunctionalGroupsSequence)
        ]
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        raise LiverError(
            f"{path}: says not where its pixels lie ({error}); export the series again, and take out localizers"
        ) from error


def _group(own: Dataset, shared: Dataset, name: str) -> Dataset:
    """A functional group of a frame: its own, or that of all frames."""
    group: Dataset = (own if name in own else shared)[name][0]
    return group


def _frame(
    path: Path, number: int, header: Dataset, place: Dataset, turn: Dataset, measures: Dataset, scale: Dataset
) -> _Frame:
    rows, columns = (float(mm) for mm in measures.PixelSpacing)
    return _Frame(
        path,
        number,
        np.array(place.ImagePositionPatient, dtype=np.float64),
        np.array(turn.ImageOrientationPatient, dtype=np.float64).reshape(2, 3),
        (rows, columns),
        (int(header.Rows), int(header.Columns)),
        float(scale.get("RescaleSlope", 1)),
        float(scale.get("RescaleIntercept", 0)),
    )


def _refuse_other_planes(folder: Path, frames: Sequence[_Frame]) -> None:
    """Refuse slices unlike the others: a localizer, a reformatted view."""
    planes = [(frame.size, tuple(float(v) for v in (*frame.along.flat, *frame.pixel_mm))) for frame in frames]
    size, plane = Counter(planes).most_common(1)[0][0]
    others = [
        frame
        for frame, mine in zip(frames, planes, strict=True)
        if mine[0] != size or not np.allclose(mine[1], plane, rtol=0, atol=1e-3)
    ]
    if others:
        names = ", ".join(dict.fromkeys(frame.path.name for frame in others[:5]))
        raise LiverError(
            f"{folder}: {len(others)} of {len(frames)} slices have another size, spacing or direction than the others, "
            f"as a localizer has: {names}{', ...' if len(others) > 5 else ''}; take them out"
        )


def _step_mm(folder: Path, frames: Sequence[_Frame], normal: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3"]:
    """From one slice to the next, in mm (LPS)."""
    if len(frames) < 2:
        raise LiverError(f"{folder}: a single slice is no volume; give the whole series")
    positions = np.array([frame.position for frame in frames])
    along = positions @ normal
    gaps = np.diff(along)
    usual = float(np.median(gaps))
    if gaps.min() < _EVEN * max(usual, 1e-6) or usual <= 0:
        at = int(np.argmin(gaps))
        names = f"{frames[at].path.name} and {frames[at + 1].path.name}"
        raise LiverError(f"{folder}: two slices lie at {along[at]:.2f} mm: {names}; take the repeats out")
    if (off := np.abs(gaps / usual - 1)).max() > _EVEN:
        at = int(np.argmax(off))
        missing = " a slice may be missing:" if gaps[at] > usual else ""
        raise LiverError(
            f"{folder}:{missing} slices are {usual:.3f} mm apart, but from {along[at]:.2f} to {along[at + 1]:.2f} mm "
            f"it is {gaps[at]:.3f} mm; export the whole series, evenly spaced"
        )
    step = (positions[-1] - positions[0]) / (len(frames) - 1)
    sideways = float(np.linalg.norm(step - normal * (step @ normal)))
    if sideways > _ALONG_MM:
        degrees = np.degrees(np.arctan2(sideways, step @ normal))
        raise LiverError(
            f"{folder}: the gantry was tilted by {degrees:.1f} degrees, so slices do not lie straight above each "
            "other; resample the series to a straight grid first"
        )
    return step


def _pixels(frames: Sequence[_Frame]) -> Int16[np.ndarray, "k j i"]:
    """HU of all slices in their order; a file is read once for all of its frames that follow each other."""
    hu = np.empty((len(frames), *frames[0].size), np.int16)
    opened: tuple[Path | None, Any] = (None, None)
    for k, frame in enumerate(frames):
        if opened[0] != frame.path:
            opened = (frame.path, _stored(frame.path))
        stored = opened[1] if opened[1].ndim == 2 else opened[1][frame.number]
        hu[k] = _to_hu(frame, stored)
    return hu


def _stored(path: Path) -> np.ndarray:
    image = pydicom.dcmread(path)
    try:
        pixels: np.ndarray = image.pixel_array
    except (RuntimeError, NotImplementedError) as error:
        name = image.file_meta.TransferSyntaxUID.name
        raise LiverError(
            f"{path}: its pixels are compressed ({name}), and no package here undoes that: pip install pylibjpeg "
            "pylibjpeg-libjpeg pylibjpeg-openjpeg, or export the series without compression"
        ) from error
    except (AttributeError, ValueError, OSError) as error:
        raise LiverError(f"{path}: its pixels are missing or damaged ({error}); copy the series again") from error
    return pixels


def _to_hu(frame: _Frame, stored: np.ndarray) -> Int16[np.ndarray, "j i"]:
    hu = np.rint(stored * frame.slope + frame.intercept)
    if hu.min() < _INT16.min or hu.max() > _INT16.max:
        raise LiverError(
            f"{frame.path}: values go from {hu.min():g} to {hu.max():g}, which is no HU; look at its rescale slope "
            f"{frame.slope:g} and intercept {frame.intercept:g}"
        )
    return hu.astype(np.int16)


def _affine(first: _Frame, step_mm: Float[np.ndarray, "3"]) -> Affine:
    """From (i, j, k) to mm, RAS+. Source: DICOM PS3.3 C.7.6.2.1-1."""
    affine = np.eye(4)
    affine[:3, 0] = first.along[0] * first.pixel_mm[1]  # along a row, columns change
    affine[:3, 1] = first.along[1] * first.pixel_mm[0]
    affine[:3, 2] = step_mm
    affine[:3, 3] = first.position
    turned: np.ndarray = _LPS_TO_RAS @ affine
    return turned
