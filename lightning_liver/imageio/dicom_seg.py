"""Writing of masks as DICOM segmentations that refer to their series. Needs the extra highdicom."""

import warnings
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import highdicom
import numpy as np
import pydicom
from highdicom.seg import SegmentAlgorithmTypeValues, Segmentation, SegmentationTypeValues, SegmentDescription
from jaxtyping import UInt8
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid

from lightning_liver.errors import LiverError
from lightning_liver.files import replacing
from lightning_liver.imageio.dicom_header import is_scan
from lightning_liver.imageio.nifti_geometry import Affine
from lightning_liver.volume import LABELS, from_canonical

_NAME = "lightning_liver"
_SERIES_NUMBER = 300  # far from those of scanners
_MAY_BE_EMPTY = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "AccessionNumber"),
    *("StudyID", "StudyDate", "StudyTime", "ReferringPhysicianName"),
)  # "type 2" of DICOM PS3.3 C.7.1.1 and C.7.2.1
_RAS_TO_LPS = np.diag((-1.0, -1.0, 1.0, 1.0))
_SLICES_FIRST = [2, 1, 0, 3]  # columns of an affine for (k, j, i) instead of (i, j, k)


def write_segmentation(path: Path, labels: UInt8[np.ndarray, "z y x"], affine: Affine, series: Path) -> None:
    """Write a canonical label map as a binary DICOM segmentation: a new series of the study, on the first one's slices.

    Its segments are the labels, 1 liver (without its tumours) and 2 tumour. Empty slices are left out, unless all are
    empty.

    Args:
        affine: of the volume that read_series read from the folder.
        series: that folder.

    Raises:
        LiverError: headers of the series lack required attributes, or the file cannot be written.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # about the spelling of the patient's name, which is not ours
            made = _segmentation(from_canonical(labels, affine), affine, _read_sources(series, affine))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise LiverError(
            f"{series}: its headers do not allow a DICOM segmentation ({error}); repair them, or leave it out"
        ) from error
    try:
        with replacing(path) as partial:
            made.save_as(partial)
    except OSError as error:
        raise LiverError(f"{path}: cannot be written ({error.strerror or error}); check folder and space") from None


def _read_sources(series: Path, affine: Affine) -> list[Dataset]:
    """Read the headers of the images of a folder, restoring attributes that de-identification removed."""
    headers: list[Dataset] = []
    for path in sorted(series.iterdir()):
        try:
            headers.append(pydicom.dcmread(path, stop_before_pixels=True))
        except (InvalidDicomError, OSError):  # read_series has refused damaged images
            continue
    images = [header for header in headers if "Rows" in header and is_scan(header)]
    for image in images:
        for keyword in _MAY_BE_EMPTY:
            if keyword not in image:
                setattr(image, keyword, "")
        for measures in _pixel_measures(image):
            if "SliceThickness" not in measures:
                measures.SliceThickness = float(np.linalg.norm(affine[:3, 2]))
    return images


def _pixel_measures(image: Dataset) -> list[Dataset]:
    """Return the datasets with the voxel size: the image, or those of its frames."""
    if "SharedFunctionalGroupsSequence" not in image:
        return [image]
    groups = [*image.SharedFunctionalGroupsSequence, *image.get("PerFrameFunctionalGroupsSequence", [])]
    return [group.PixelMeasuresSequence[0] for group in groups if "PixelMeasuresSequence" in group]


def _segmentation(labels: UInt8[np.ndarray, "k j i"], affine: Affine, sources: Sequence[Dataset]) -> Segmentation:
    return Segmentation(
        source_images=sources,
        pixel_array=highdicom.Volume(
            np.ascontiguousarray(labels),
            _RAS_TO_LPS @ affine[:, _SLICES_FIRST],
            "PATIENT",
            frame_of_reference_uid=sources[0].FrameOfReferenceUID,
        ),
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=_segments(),
        series_instance_uid=generate_uid(),
        series_number=_SERIES_NUMBER,
        series_description="Liver and tumour, predicted",
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer=_NAME,
        manufacturer_model_name=_NAME,
        software_versions=_version(),
        device_serial_number="0",
        omit_empty_frames=bool(labels.any()),
    )


def _segments() -> list[SegmentDescription]:
    """Describe the segments by SNOMED CT codes, from CID 7150 and CID 7159 of DICOM PS3.16."""
    algorithm = highdicom.AlgorithmIdentificationSequence(_NAME, codes.DCM.ArtificialIntelligence, _version())
    kinds = {
        "liver": (codes.SCT.Organ, codes.SCT.Liver),
        "tumour": (codes.SCT.MorphologicallyAbnormalStructure, codes.SCT.Neoplasm),
    }
    return [
        SegmentDescription(
            segment_number=LABELS[name],
            segment_label=name,
            segmented_property_category=category,
            segmented_property_type=kind,
            algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=algorithm,
            anatomic_regions=[codes.SCT.Liver] if name == "tumour" else None,
        )
        for name, (category, kind) in kinds.items()
    ]


def _version() -> str:
    try:
        return version("lightning-liver")
    except PackageNotFoundError:  # a checkout that is not installed
        return "0"
