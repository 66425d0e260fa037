"""Small CT series, written by pydicom."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels.utils import pack_bits
from pydicom.uid import (
    UID,
    CTImageStorage,
    EnhancedCTImageStorage,
    ExplicitVRLittleEndian,
    SegmentationStorage,
    generate_uid,
)

SHAPE = (5, 7, 9)  # k, j, i
PIXEL_MM = (0.75, 0.625)  # between rows, between columns
STEP_MM = 2.5
ORIGIN_MM = (-120.5, -95.25, 310.0)
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)

Edit = Callable[[int, Dataset], object]


def stored(shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    """Return stored pixels, all different: HU with intercept -1024."""
    return np.arange(np.prod(shape), dtype=np.uint16).reshape(shape) + 900


def rotated(x: float, y: float, z: float) -> tuple[float, ...]:
    """Return ImageOrientationPatient of an image rotated about x, then y, then z."""
    (cx, sx), (cy, sy), (cz, sz) = ((np.cos(angle), np.sin(angle)) for angle in (x, y, z))
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    turned = about_z @ about_y @ about_x
    return (*turned[:, 0], *turned[:, 1])


def position_mm(k: float, orientation: tuple[float, ...] = AXIAL) -> list[float]:
    normal = np.cross(orientation[:3], orientation[3:])
    return [float(f"{mm:.8f}") for mm in ORIGIN_MM + k * STEP_MM * normal]


def write_series(
    folder: Path,
    pixels: np.ndarray | None = None,
    *,
    orientation: tuple[float, ...] = AXIAL,
    edit: Edit = lambda k, header: None,
    uid: str = "1.2.826.0.1.3680043.8.498.1",
) -> list[Path]:
    """Write one file a slice, ordered by k, with shuffled names; `edit` may change a file's attributes."""
    pixels = stored() if pixels is None else pixels
    names = np.random.default_rng(1).permutation(1000)[: len(pixels)]
    paths = [folder / f"IM{name:04d}.dcm" for name in names]
    folder.mkdir(parents=True, exist_ok=True)
    for k, path in enumerate(paths):
        header = image(pixels[k], CTImageStorage, uid)
        header.ImagePositionPatient = position_mm(k, orientation)
        header.ImageOrientationPatient = [float(f"{cosine:.10f}") for cosine in orientation]
        header.PixelSpacing = list(PIXEL_MM)
        header.RescaleSlope, header.RescaleIntercept = 1, -1024
        edit(k, header)
        header.save_as(path, enforce_file_format=True)
    return paths


def write_enhanced(
    path: Path, *, places: tuple[int, ...], orientation: tuple[float, ...] = AXIAL, edit: Edit = lambda k, header: None
) -> None:
    """Write a multi-frame file: frame n shows slice places[n] and has its own slope."""
    pixels = stored()[list(places)]
    header = image(pixels, EnhancedCTImageStorage, "1.2.826.0.1.3680043.8.498.2")
    header.NumberOfFrames = len(places)
    shared = Dataset()
    shared.PlaneOrientationSequence = [Dataset()]
    shared.PlaneOrientationSequence[0].ImageOrientationPatient = [float(f"{cosine:.10f}") for cosine in orientation]
    shared.PixelMeasuresSequence = [Dataset()]
    shared.PixelMeasuresSequence[0].PixelSpacing = list(PIXEL_MM)
    header.SharedFunctionalGroupsSequence = [shared]
    header.PerFrameFunctionalGroupsSequence = [_groups(place, orientation) for place in places]
    edit(0, header)
    path.parent.mkdir(parents=True, exist_ok=True)
    header.save_as(path, enforce_file_format=True)


def write_segmentation_of(path: Path, labels: np.ndarray, *, bits: int) -> None:
    """Write labels (k, j, i) as a binary segmentation (1 bit) or a map (8 bits), on the grid of nifti_files.LPS."""
    is_map = bits == 8
    masks = labels if is_map else np.concatenate([labels == 1, labels == 2])
    header = image(masks, UID("1.2.840.10008.5.1.4.1.1.66.7") if is_map else SegmentationStorage, "1.2.3")
    header.Modality, header.NumberOfFrames, header.SegmentationType = (
        "SEG",
        len(masks),
        "LABELMAP" if is_map else "BINARY",
    )
    header.BitsAllocated = header.BitsStored = bits
    header.HighBit, header.PixelRepresentation = bits - 1, 0
    header.PixelData = masks.astype(np.uint8).tobytes() if is_map else pack_bits(masks.astype(np.uint8))
    header.SegmentSequence = [Dataset(), Dataset()]
    for number, (segment, name) in enumerate(zip(header.SegmentSequence, ("liver", "tumour"), strict=True), start=1):
        segment.SegmentNumber, segment.SegmentLabel = number, name
    shared = Dataset()
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [Dataset()], [Dataset()]
    shared.PlaneOrientationSequence[0].ImageOrientationPatient = list(AXIAL)
    shared.PixelMeasuresSequence[0].PixelSpacing = [0.8, 0.7]
    header.SharedFunctionalGroupsSequence = [shared]
    header.PerFrameFunctionalGroupsSequence = [Dataset() for _ in masks]
    for frame, groups in enumerate(header.PerFrameFunctionalGroupsSequence):
        groups.PlanePositionSequence = [Dataset()]
        groups.PlanePositionSequence[0].ImagePositionPatient = [0, 0, 2.5 * (frame % len(labels))]
        if not is_map:
            groups.SegmentIdentificationSequence = [Dataset()]
            groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber = 1 + frame // len(labels)
    header.save_as(path, enforce_file_format=True)


def image(pixels: np.ndarray, sop_class: str, series_uid: str) -> Dataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = sop_class
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header = Dataset()
    header.file_meta = meta
    header.SOPClassUID, header.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    header.Modality, header.ImageType = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
    header.PatientID, header.PatientName = "P1", "Phantom"
    header.SeriesInstanceUID, header.SeriesNumber, header.SeriesDescription = series_uid, 3, "Portal venous"
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    header.Rows, header.Columns = pixels.shape[-2:]
    header.BitsAllocated = header.BitsStored = 16
    header.HighBit, header.PixelRepresentation = 15, 0 if pixels.dtype.kind == "u" else 1
    header.PixelData = np.ascontiguousarray(pixels).tobytes()
    return header


def _groups(place: int, orientation: tuple[float, ...]) -> Dataset:
    groups = Dataset()
    groups.PlanePositionSequence = [Dataset()]
    groups.PlanePositionSequence[0].ImagePositionPatient = position_mm(place, orientation)
    groups.PixelValueTransformationSequence = [Dataset()]
    rescale = groups.PixelValueTransformationSequence[0]
    rescale.RescaleSlope, rescale.RescaleIntercept, rescale.RescaleType = place + 1, -1024, "HU"
    return groups
