"""Reading of masks that are DICOM segmentations, frame by frame."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Shaped, UInt8
from nibabel.affines import voxel_sizes
from pydicom import Dataset
from pydicom.pixels.utils import iter_pixels, unpack_bits
from pydicom.sr.codedict import codes
from pydicom.uid import UID, SegmentationStorage

from lightning_liver.errors import LiverError
from lightning_liver.imageio.dicom_files import is_dicom, kind_of, quiet, read_dicom, syntax_of
from lightning_liver.imageio.limits import MOST_FRAMES
from lightning_liver.imageio.mask_grid import on_grid, refuse_larger
from lightning_liver.imageio.nifti_geometry import Affine
from lightning_liver.imageio.segment_names import Segment, labels_of, refuse_segment
from lightning_liver.volume import LABELS, Volume

_AGAIN = "save it again as a DICOM segmentation"
_LABEL_MAP = UID("1.2.840.10008.5.1.4.1.1.66.7")  # Label Map Segmentation Storage
_SNOMED = ("SCT", "SRT", "SNM3")
_CODES = {
    codes.SCT.Liver.value: LABELS["liver"],
    "T-62000": LABELS["liver"],
    **dict.fromkeys(
        (
            *(codes.SCT.Neoplasm.value, codes.SCT.NeoplasmPrimary.value, codes.SCT.MalignantNeoplasmPrimary.value),
            *(codes.SCT.NeoplasmSecondary.value, codes.SCT.Metastasis.value, codes.SCT.Lesion.value),
            *(codes.SCT.Mass.value, codes.SCT.GrossTumorVolume.value),
            *("M-8FFFF", "M-80003", "M-80006", "M-01100", "M-03000"),
        ),
        LABELS["tumour"],
    ),
}  # of CID 7150, 7151 and 7159 of DICOM PS3.16, in SNOMED CT and in the older SNOMED-RT
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_COSINE = 1e-3  # rounding of cosines
_PIXEL_MM = 1e-4
_SAME_MM = 1e-2  # distance of frames of the same slice
_OFF = 0.1  # voxels

Pixels = Shaped[np.ndarray, "j i"]
Meanings = Mapping[int, tuple[str, int | None]]


class _Frames(NamedTuple):
    """Frames of a file: the number of the segment (None where pixels have it), slice, and shape and affine of all."""

    numbers: list[int | None]
    slices: list[int]
    shape: tuple[int, int, int]
    affine: Affine


def read_dicom_seg(path: Path, volume: Volume) -> UInt8[np.ndarray, "z y x"]:
    """Read a DICOM segmentation as 0 background, 1 liver, 2 tumour on the grid of its scan.

    Segments go by the SNOMED code of their type, else by their label, see segment_names.labels_of; tumour lies over
    liver where they overlap. Frames go by their positions, and slices without a frame are empty. A fraction of at least
    a half is inside. All types of segmentations are read: binary, fractional and label maps.

    Raises:
        LiverError: a damaged file, or another kind of object; a segment with voxels that is neither liver nor tumour;
            another grid than the scan's, see mask_grid.on_grid.

    Source: PS3.3 A.51 and C.8.20.
    """
    if not path.is_file():
        raise LiverError(f"{path}: no such file; give a DICOM segmentation")
    if not is_dicom(path):
        raise LiverError(f"{path}: not a DICOM file; {_AGAIN}")
    try:
        with quiet(), np.errstate(all="ignore"):
            return _read(path, volume)
    except LiverError:
        raise
    except Exception as error:  # on damaged files pydicom raises many kinds of exceptions
        raise LiverError(f"{path}: damaged, or in a form that is not read ({error}); {_AGAIN}") from None


def _read(path: Path, volume: Volume) -> UInt8[np.ndarray, "z y x"]:
    image = read_dicom(path)
    if image.get("SOPClassUID") not in (SegmentationStorage, _LABEL_MAP):
        raise LiverError(f"{path}: a DICOM file of another kind ({kind_of(image)}); give a DICOM segmentation")
    count = int(image.NumberOfFrames)  # a file that lacks it was cut
    if not count:
        return np.zeros_like(volume.hu, np.uint8)
    if count > MOST_FRAMES:
        raise LiverError(f"{path}: {count} frames, at most {MOST_FRAMES} are read; leave out other segments")
    refuse_larger(path, (int(image.Columns), int(image.Rows), 1), volume)
    meanings = _meanings(path, image)
    frames = _frames(path, image, count, volume)
    refuse_larger(path, frames.shape[::-1], volume)
    labels: np.ndarray = np.zeros(frames.shape, np.uint8)
    for number, k, pixels in zip(frames.numbers, frames.slices, _pixels(image), strict=True):
        for its, inside in _segments(image, number, pixels):
            if inside.any():
                label = _label(path, meanings, its)
                labels[k][inside] = np.maximum(labels[k][inside], label)
    return on_grid(path, labels, frames.affine, volume)


def _meanings(path: Path, image: Dataset) -> Meanings:
    """Return name and label of each segment by its number."""
    described = list(image.get("SegmentSequence") or ())
    names = [str(one.get("SegmentLabel") or f"segment {one.SegmentNumber}") for one in described]
    segments = [Segment(name, _code(one)) for name, one in zip(names, described, strict=True)]
    labels = labels_of(path, segments)
    return {
        int(one.SegmentNumber): (segment.name, label)
        for one, segment, label in zip(described, segments, labels, strict=True)
    }


def _code(segment: Dataset) -> int | None:
    for code in segment.get("SegmentedPropertyTypeCodeSequence") or ():
        if code.get("CodingSchemeDesignator") in _SNOMED:
            return _CODES.get(str(code.get("CodeValue")))
    return None


def _label(path: Path, meanings: Meanings, number: int) -> int:
    if number not in meanings:
        raise ValueError(f"segment {number} is not described")
    name, label = meanings[number]
    if label is None:
        refuse_segment(path, name)
    return label


def _pixels(image: Dataset) -> Iterator[Pixels]:
    """Yield the pixels of each frame. Uncompressed bits are unpacked here, since frames may start within a byte."""
    syntax = syntax_of(image)
    image.file_meta.TransferSyntaxUID = syntax
    if image.BitsAllocated > 1 or syntax.is_encapsulated:
        yield from iter_pixels(image)
        return
    shape = int(image.Rows), int(image.Columns)
    size = shape[0] * shape[1]
    for start in range(0, int(image.NumberOfFrames) * size, size):
        packed = image.PixelData[start // 8 : (start + size + 7) // 8]
        yield np.asarray(unpack_bits(packed))[start % 8 :][:size].reshape(shape)


def _segments(image: Dataset, number: int | None, pixels: Pixels) -> list[tuple[int, Bool[np.ndarray, "j i"]]]:
    """Return the numbers of the segments of a frame, and which pixels are inside each."""
    if number is None:
        return [(value, pixels == value) for value in np.unique(pixels).tolist() if value]
    if str(image.get("SegmentationType")) == "FRACTIONAL":
        return [(number, 2 * pixels.astype(np.int64) >= int(image.MaximumFractionalValue))]
    return [(number, pixels != 0)]


def _frames(path: Path, image: Dataset, count: int, volume: Volume) -> _Frames:
    groups = image.PerFrameFunctionalGroupsSequence
    if len(groups) != count:
        raise ValueError(f"{count} frames, but positions for {len(groups)}")
    is_map = image.SOPClassUID == _LABEL_MAP
    numbers = [None if is_map else _number(image, index) for index in range(count)]
    positions_mm = np.array(
        [_numbers(_group(image, index, "PlanePositionSequence"), "ImagePositionPatient", 3) for index in range(count)]
    )
    orientation = _common(image, "PlaneOrientationSequence", "ImageOrientationPatient", 6, _COSINE)
    pixel_mm = _common(image, "PixelMeasuresSequence", "PixelSpacing", 2, _PIXEL_MM)
    row, column = orientation[:3], orientation[3:]
    if np.abs([row @ row - 1, column @ column - 1, row @ column]).max() > _COSINE:
        raise ValueError(f"ImageOrientationPatient {orientation.tolist()} is no pair of unit vectors at right angles")
    normal = np.cross(row, column)
    first = positions_mm[np.argmin(positions_mm @ normal)]
    depths_mm = (positions_mm - first) @ normal
    step_mm = _step_mm(depths_mm, _declared_mm(image), _scan_step_mm(volume, normal))
    across_mm = positions_mm - first - np.outer(depths_mm, normal)
    slices = np.rint(depths_mm / step_mm)
    uneven_mm = max(float(np.abs(depths_mm - slices * step_mm).max()), float(np.abs(across_mm).max()))
    if uneven_mm > _OFF * min(step_mm, *pixel_mm):
        raise LiverError(
            f"{path}: its slices lie {uneven_mm:.3g} mm off a grid with steps of {step_mm:.6g} mm; "
            "export it with the scan as reference geometry"
        )
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1], affine[:3, 2] = row * pixel_mm[1], column * pixel_mm[0], normal * step_mm
    affine[:3, 3] = first
    shape = (int(slices.max()) + 1, int(image.Rows), int(image.Columns))
    return _Frames(numbers, slices.astype(int).tolist(), shape, _LPS_TO_RAS @ affine)


def _step_mm(depths_mm: Float[np.ndarray, " frame"], declared_mm: float | None, scan_mm: float) -> float:
    """Return the distance of slices: the scan's if the frames lie on its slices, else that of the nearest two.

    Frames on every second slice are taken for these, unless the file declares that its slices are so far apart.
    """
    gaps_mm = np.diff(np.unique(np.rint(depths_mm / _SAME_MM))) * _SAME_MM
    if not gaps_mm.size:
        return scan_mm
    least = float(gaps_mm.min())
    steps = round(least / scan_mm)
    is_declared = declared_mm is not None and abs(declared_mm - least) <= _SAME_MM
    is_on_slices = steps >= 1 and abs(least / scan_mm - steps) <= _OFF
    return scan_mm if is_on_slices and (steps == 1 or not is_declared) else least


def _scan_step_mm(volume: Volume, normal: Float[np.ndarray, "3"]) -> float:
    """Return the scan's spacing along the axis that is nearest to a direction (LPS)."""
    spacing_mm = voxel_sizes(volume.affine)
    cosines = (volume.affine[:3, :3] / spacing_mm).T @ (_LPS_TO_RAS[:3, :3] @ normal)
    return float(spacing_mm[np.abs(cosines).argmax()])


def _declared_mm(image: Dataset) -> float | None:
    declared = _group(image, 0, "PixelMeasuresSequence").get("SpacingBetweenSlices")
    return None if declared is None else abs(float(declared))


def _number(image: Dataset, index: int) -> int:
    return int(_group(image, index, "SegmentIdentificationSequence").ReferencedSegmentNumber)


def _common(image: Dataset, sequence: str, keyword: str, count: int, tolerance: float) -> Float[np.ndarray, " n"]:
    """Return the value of all frames."""
    frames = range(len(image.PerFrameFunctionalGroupsSequence))
    values = np.array([_numbers(_group(image, index, sequence), keyword, count) for index in frames])
    if np.ptp(values, axis=0).max() > tolerance:
        raise ValueError(f"frames have different {keyword}")
    return np.asarray(np.median(values, axis=0), float)


def _group(image: Dataset, index: int, sequence: str) -> Dataset:
    """Return the functional group of a frame: its own, else the shared one."""
    shared = image.get("SharedFunctionalGroupsSequence") or ()
    for groups in (image.PerFrameFunctionalGroupsSequence[index], *shared):
        if groups.get(sequence):
            group: Dataset = groups[sequence].value[0]
            return group
    raise ValueError(f"frame {index + 1} has no {sequence}")


def _numbers(group: Dataset, keyword: str, count: int) -> Float[np.ndarray, " count"]:
    values: np.ndarray = np.array(group[keyword].value, dtype=np.float64).ravel()
    if values.size != count or not np.isfinite(values).all():
        raise ValueError(f"{keyword} is {values.tolist()}, {count} finite numbers are needed")
    return values
