"""DICOM series as a scanner would leave them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian, generate_uid

SERIES = generate_uid()
STRAIGHT = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))


def header(path: Path, storage: str, size: tuple[int, int]) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = storage, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made = FileDataset(str(path), {}, file_meta=meta, preamble=bytes(128))
    made.SOPClassUID, made.SOPInstanceUID = storage, meta.MediaStorageSOPInstanceUID
    made.Modality, made.PatientID, made.SeriesInstanceUID = "CT", "A", SERIES
    made.Rows, made.Columns = size
    made.BitsAllocated = made.BitsStored = 16
    made.HighBit, made.PixelRepresentation, made.SamplesPerPixel = 15, 0, 1
    made.PhotometricInterpretation = "MONOCHROME2"
    return made


def write_series(
    folder: Path,
    stored: np.ndarray,
    *,
    positions: np.ndarray,
    along: Sequence[Sequence[float]] = STRAIGHT,
    pixel_mm: tuple[float, float] = (0.7, 0.8),
    names: Sequence[str] | None = None,
    intercepts: Sequence[float] | None = None,
    **options: Any,
) -> None:
    """One file a slice of (k, j, i); options are further elements of every file."""
    folder.mkdir(parents=True, exist_ok=True)
    for k, pixels in enumerate(stored):
        path = folder / (names[k] if names else f"{k}.dcm")
        made = header(path, CTImageStorage, pixels.shape)
        made.ImagePositionPatient = [float(v) for v in positions[k]]
        made.ImageOrientationPatient = [float(v) for row in along for v in row]
        made.PixelSpacing = list(pixel_mm)
        made.RescaleSlope, made.RescaleIntercept = 1, intercepts[k] if intercepts else -1024
        for name, value in options.items():
            setattr(made, name, value)
        made.PixelData = pixels.astype(np.uint16).tobytes()
        made.save_as(path)


def write_multi_frame(path: Path, stored: np.ndarray, *, positions: np.ndarray, order: Sequence[int]) -> None:
    """An Enhanced CT: all slices in one file, in some order; what they share stands once."""
    made = header(path, EnhancedCTImageStorage, stored.shape[1:])
    made.NumberOfFrames = len(order)
    shared, measures, turn, scale = Dataset(), Dataset(), Dataset(), Dataset()
    measures.PixelSpacing = [0.7, 0.8]
    turn.ImageOrientationPatient = [v for row in STRAIGHT for v in row]
    scale.RescaleSlope, scale.RescaleIntercept = 1, -1024
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = Items([measures]), Items([turn])
    shared.PixelValueTransformationSequence = Items([scale])
    made.SharedFunctionalGroupsSequence = Items([shared])
    frames = []
    for k in order:
        one, place = Dataset(), Dataset()
        place.ImagePositionPatient = [float(v) for v in positions[k]]
        one.PlanePositionSequence = Items([place])
        frames.append(one)
    made.PerFrameFunctionalGroupsSequence = Items(frames)
    made.PixelData = stored[list(order)].astype(np.uint16).tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    made.save_as(path)
