"""DICOM segmentations, read back by highdicom and pydicom on the slices of their series."""

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from lightning_liver.errors import LiverError
from lightning_liver.imageio.dicom import read_series
from lightning_liver.volume import from_canonical
from tests.imageio.dicom_files import AXIAL, SHAPE, position_mm, write_enhanced, write_series
from tests.optional import needs

needs("highdicom")
import highdicom  # noqa: E402

from lightning_liver.imageio.dicom_seg import write_segmentation  # noqa: E402

SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
STUDY = {"StudyInstanceUID": "1.2.3", "FrameOfReferenceUID": "1.2.4"}


def of_a_study(_: int, image: Any) -> None:
    for name, value in STUDY.items():
        setattr(image, name, value)


def series(folder: Path, orientation: tuple[float, ...] = AXIAL) -> Path:
    stored = np.random.default_rng(0).integers(0, 3000, SHAPE).astype(np.uint16)
    write_series(folder, stored, orientation=orientation, edit=of_a_study)
    return folder


def labelled(folder: Path) -> tuple[Any, np.ndarray]:
    """Return the volume of a series and a label map with empty first and last slices."""
    volume = read_series(folder)
    labels = (volume.hu > 500).astype(np.uint8) + (volume.hu > 1200)
    in_file = from_canonical(labels, volume.affine)
    in_file[[0, -1]] = 0
    return volume, labels


@pytest.mark.parametrize("along", [AXIAL, SAGITTAL], ids=["axial", "sagittal"])
def test_each_slice_of_a_segment_lies_on_the_slice_that_it_names(tmp_path: Path, along: tuple[float, ...]) -> None:
    folder = series(tmp_path / "series", along)
    volume, labels = labelled(folder)
    write_segmentation(tmp_path / "seg.dcm", labels, volume.affine, folder)
    made = pydicom.dcmread(tmp_path / "seg.dcm")
    sources = {image.SOPInstanceUID: image for image in map(pydicom.dcmread, folder.iterdir())}
    frames = made.pixel_array
    assert len(frames) == 2 * (SHAPE[0] - 2)  # the empty slices are left out
    by_place = {tuple(np.round(position_mm(k, along), 3)): k for k in range(SHAPE[0])}
    expected = from_canonical(labels, volume.affine)
    for frame, pixels in zip(made.PerFrameFunctionalGroupsSequence, frames, strict=True):
        named = frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        place = frame.PlanePositionSequence[0].ImagePositionPatient
        assert np.allclose(sources[named].ImagePositionPatient, place)
        number = frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        k = by_place[tuple(np.round(np.array(place, float), 3))]
        assert np.array_equal(pixels, expected[k] == number)
    turn = made.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0].ImageOrientationPatient
    assert np.allclose(turn, along)


def test_a_segmentation_belongs_to_the_study_and_describes_its_segments(tmp_path: Path) -> None:
    folder = series(tmp_path / "series")
    volume, labels = labelled(folder)
    write_segmentation(tmp_path / "seg.dcm", labels, volume.affine, folder)
    made = highdicom.seg.segread(tmp_path / "seg.dcm")
    assert (made.Modality, made.PatientID, made.StudyInstanceUID) == ("SEG", "P1", "1.2.3")
    assert made.SeriesInstanceUID != pydicom.dcmread(next(folder.iterdir())).SeriesInstanceUID
    assert [segment.SegmentLabel for segment in made.SegmentSequence] == ["liver", "tumour"]
    assert [made.get_segment_description(n).segmented_property_type.value for n in (1, 2)] == ["10200004", "108369006"]


def test_a_multi_frame_file_is_referred_to_frame_by_frame(tmp_path: Path) -> None:
    path = tmp_path / "series" / "all.dcm"
    write_enhanced(path, places=(0, 1, 2, 3, 4), edit=of_a_study)
    image = pydicom.dcmread(path)
    volume, labels = labelled(path.parent)
    write_segmentation(tmp_path / "seg.dcm", labels, volume.affine, path.parent)
    made = highdicom.seg.segread(tmp_path / "seg.dcm")
    found = made.get_pixels_by_source_frame(
        image.SOPInstanceUID, [2, 3, 4], combine_segments=True, ignore_spatial_locations=True
    )
    assert np.array_equal(found, from_canonical(labels, volume.affine)[1:4])


def test_an_empty_mask_is_written_with_empty_slices(tmp_path: Path) -> None:
    folder = series(tmp_path / "series")
    volume, labels = labelled(folder)
    write_segmentation(tmp_path / "seg.dcm", np.zeros_like(labels), volume.affine, folder)
    assert not pydicom.dcmread(tmp_path / "seg.dcm").pixel_array.any()


def test_a_series_without_a_frame_of_reference_is_refused(tmp_path: Path) -> None:
    folder = series(tmp_path / "series")
    volume, labels = labelled(folder)
    for path in folder.iterdir():
        image = pydicom.dcmread(path)
        del image.FrameOfReferenceUID
        image.save_as(path)
    with pytest.raises(LiverError, match="FrameOfReferenceUID"):
        write_segmentation(tmp_path / "seg.dcm", labels, volume.affine, folder)
    assert not (tmp_path / "seg.dcm").exists()
