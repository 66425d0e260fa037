"""Writing of masks as DICOM segmentations that refer to their series. Needs the extra highdicom."""

import warnings
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import highdicom
import numpy as np
import pydicom
from highdicom.enum import PatientSexValues, SpecificCharacterSetValues
from highdicom.seg import SegmentAlgorithmTypeValues, Segmentation, SegmentationTypeValues, SegmentDescription
from jaxtyping import UInt8
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element
from pydicom.sr.codedict import codes
from pydicom.tag import BaseTag
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, generate_uid
from pydicom.valuerep import DA, TM

from lightning_liver.errors import LiverError, LiverWarning
from lightning_liver.files import replacing
from lightning_liver.imageio.dicom_files import quiet, read_dicom
from lightning_liver.imageio.dicom_header import read_headers
from lightning_liver.imageio.nifti_geometry import Affine
from lightning_liver.volume import LABELS, from_canonical

_NAME = "lightning_liver"
_SERIES_NUMBER = 300  # far from those of scanners
_MAY_BE_EMPTY: dict[str, Callable[[str], object]] = {
    **dict.fromkeys(("PatientName", "PatientID", "AccessionNumber", "StudyID", "ReferringPhysicianName"), str),
    **dict.fromkeys(("PatientBirthDate", "StudyDate"), DA),
    "StudyTime": TM,
    "PatientSex": lambda text: text and PatientSexValues(text),
}  # "type 2" of DICOM PS3.3 C.7.1.1 and C.7.2.1, and what must accept their values
_OF_ALL_SLICES = ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
_RAS_TO_LPS = np.diag((-1.0, -1.0, 1.0, 1.0))
_SLICES_FIRST = [2, 1, 0, 3]  # columns of an affine for (k, j, i) instead of (i, j, k)


def write_segmentation(path: Path, labels: UInt8[np.ndarray, "z y x"], affine: Affine, series: Path) -> None:
    """Write a canonical label map as a binary DICOM segmentation: a new series of the study, on the first one's slices.

    Its segments are the labels, 1 liver (without its tumours) and 2 tumour. Empty slices are left out, unless all are
    empty. What the headers of the series lack or have in an invalid form is left empty or made anew, with a warning.
    Text is in UTF-8.

    Args:
        affine: of the volume that read_series read from the folder.
        series: that folder.

    Raises:
        LiverError: headers of the series allow no segmentation, or the file cannot be written.
    """
    try:
        with quiet(), replacing(path) as partial:
            sources = _read_sources(series, affine)
            _segmentation(from_canonical(labels, affine), affine, sources).save_as(partial)
    except OSError as error:
        raise LiverError(f"{path}: cannot be written ({error.strerror or error}); check folder and space") from None
    except LiverError:
        raise
    except Exception as error:  # highdicom and pydicom raise many kinds of exceptions on odd headers
        raise LiverError(
            f"{series}: its headers do not allow a DICOM segmentation ({error}); repair them, or leave it out"
        ) from error


def _read_sources(series: Path, affine: Affine) -> list[Dataset]:
    """Read the headers of the images that read_series reads, and mend them."""
    images: list[Dataset] = [read_dicom(path, stop_before_pixels=True) for path in read_headers(series)]
    mended = [name for image in images for name in _mend(image, affine)]
    mended += _mend_uids(images)
    if mended:
        listed = ", ".join(dict.fromkeys(mended))
        text = f"missing or invalid in the headers: {listed}; the DICOM segmentation has empty or new values"
        warnings.warn(f"{series}: {text}", LiverWarning, stacklevel=3)
    return images


def _mend(image: Dataset, affine: Affine) -> list[str]:
    """Empty or remove values that cannot be written, restore what must be there, and return the names of both."""
    mended = []
    for tag in list(image.keys()):
        if not _is_writable(image, tag):
            mended.append(pydicom.datadict.keyword_for_tag(tag) or str(tag))
            del image[tag]
    for keyword, accepts in _MAY_BE_EMPTY.items():
        if keyword not in image or not _is_accepted(image[keyword], accepts):
            mended += [keyword] * (keyword in image)  # de-identification removes them: no news
            setattr(image, keyword, "")
    for measures in _pixel_measures(image):
        if not _is_positive(measures.get("SliceThickness")):
            measures.SliceThickness = float(np.linalg.norm(affine[:3, 2]))
    return mended


def _is_writable(image: Dataset, tag: BaseTag) -> bool:
    try:
        element = image[tag]
        buffer = DicomBytesIO()
        buffer.is_little_endian, buffer.is_implicit_VR = True, False
        write_data_element(buffer, element, ["utf8"])
    except Exception:  # on odd values pydicom raises many kinds of exceptions
        return False
    return True


def _is_accepted(element: DataElement, accepts: Callable[[str], object]) -> bool:
    try:
        accepts(str(element.value or ""))
    except ValueError:
        return False
    return element.VM <= 1 or element.VR != "PN"


def _is_positive(number: object) -> bool:
    try:
        return float(str(number)) > 0
    except ValueError:
        return False


def _mend_uids(images: Sequence[Dataset]) -> list[str]:
    """Give equal UIDs to what all images share, make missing ones, the same at every call, and return their names."""
    first, mended = images[0], []
    for keyword in _OF_ALL_SLICES:
        uid = first.get(keyword) or generate_uid(entropy_srcs=[keyword, *_identity(first)])
        mended += [keyword] * any(image.get(keyword) != uid for image in images)
        for image in images:
            setattr(image, keyword, uid)
    for image in images:
        if not image.get("SOPInstanceUID"):
            image.SOPInstanceUID = generate_uid(entropy_srcs=_identity(image))
            mended.append("SOPInstanceUID")
        if not image.get("SOPClassUID"):
            image.SOPClassUID = EnhancedCTImageStorage if "NumberOfFrames" in image else CTImageStorage
            mended.append("SOPClassUID")
    return mended


def _identity(image: Dataset) -> list[str]:
    keywords = ("PatientID", *_OF_ALL_SLICES, "SOPInstanceUID", "SeriesNumber", "ImagePositionPatient")
    return [str(image.get(keyword, "")) for keyword in keywords]


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
        specific_character_set=SpecificCharacterSetValues.UNICODE_IN_UTF8,
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
