"""DICOM segmentations, read back by highdicom and pydicom on the slices of their series."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag
from pydicom.uid import UID

from lightning_liver.errors import LiverError, LiverWarning
from lightning_liver.imageio.dicom import read_series
from lightning_liver.volume import from_canonical
from tests.imageio.dicom_files import AXIAL, SHAPE, STEP_MM, position_mm, write_enhanced, write_series
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


def rewritten(folder: Path, number: int | None = None, **raw: bytes | None) -> Path:
    """Return a series with raw values, of slice `number` alone or of all; None removes an attribute."""

    def edit(k: int, image: Any) -> None:
        of_a_study(k, image)
        for name, value in raw.items() if number in (None, k) else ():
            tag = Tag(tag_for_keyword(name))
            image.pop(tag, None)
            if value is not None:
                image._dict[tag] = RawDataElement(tag, dictionary_VR(tag), len(value), value, 0, False, True)

    stored = np.random.default_rng(0).integers(0, 3000, SHAPE).astype(np.uint16)
    write_series(folder, stored, edit=edit)
    return folder


def segmented(folder: Path) -> Any:
    volume, labels = labelled(folder)
    path = folder.with_name("seg.dcm")
    write_segmentation(path, labels, volume.affine, folder)
    return pydicom.dcmread(path)


@pytest.mark.parametrize(
    ("keyword", "broken"),
    [
        ("PatientSex", b"FEMALE"),
        ("PatientBirthDate", b"20201345"),
        ("StudyDate", b"2020-01-02"),
        ("StudyTime", b"256199"),
        ("PatientName", b"a\\b "),
    ],
)
def test_a_broken_value_of_the_patient_or_study_is_left_empty(tmp_path: Path, keyword: str, broken: bytes) -> None:
    folder = rewritten(tmp_path / "series", **{keyword: broken})
    with pytest.warns(LiverWarning, match=f"missing or invalid in the headers: {keyword};"):
        made = segmented(folder)
    assert str(made[keyword].value or "") == ""
    assert made.PatientID == "P1"


@pytest.mark.parametrize("thickness", [b"", b"0 ", b"abc "])
def test_an_unusable_thickness_is_the_distance_of_slices(tmp_path: Path, thickness: bytes) -> None:
    made = segmented(rewritten(tmp_path / "series", SliceThickness=thickness))
    assert made.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SliceThickness == STEP_MM


@pytest.mark.parametrize("value", [None, b""])
@pytest.mark.parametrize("keyword", ["FrameOfReferenceUID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"])
def test_a_missing_uid_is_made_and_is_the_same_at_every_call(tmp_path: Path, keyword: str, value: bytes | None) -> None:
    """As in 3D-IRCADb, whose series have no FrameOfReferenceUID."""
    folder = rewritten(tmp_path / "series", **{keyword: value})
    with pytest.warns(LiverWarning, match=keyword):
        first, again = segmented(folder), segmented(folder)
    uids = made_uids(first, keyword)
    assert uids == made_uids(again, keyword)
    assert all(UID(uid).is_valid for uid in uids)
    assert len(set(uids)) == len(uids)


def made_uids(made: Any, keyword: str) -> list[str]:
    (referred,) = made.ReferencedSeriesSequence
    if keyword == "SOPInstanceUID":
        return [str(image.ReferencedSOPInstanceUID) for image in referred.ReferencedInstanceSequence]
    return [str((referred if keyword == "SeriesInstanceUID" else made)[keyword].value)]


def test_a_slice_of_another_study_belongs_to_that_of_the_first(tmp_path: Path) -> None:
    folder = rewritten(tmp_path / "series", 3, StudyInstanceUID=b"1.2.9\0")
    with pytest.warns(LiverWarning, match="StudyInstanceUID"):
        assert segmented(folder).StudyInstanceUID in ("1.2.3", "1.2.9")


@pytest.mark.parametrize(
    ("charset", "stored", "name"),
    [
        (b"ISO_IR 100", "Müller".encode("latin1"), "Müller"),
        (b"ISO-IR 100", "Müller".encode("latin1"), "Müller"),
        (b"ISO_IR 999", "Müller".encode("latin1"), "Müller"),
        (b"ISO_IR 192\\ISO_IR 100", "Müller".encode(), "Müller"),
        (b"GB18030 ", "王^小东".encode("gb18030"), "王^小东"),
        (b"ISO_IR 144", "Люксембург".encode("iso8859_5"), "Люксембург"),
        (b"\\ISO 2022 IR 87", b"Yamada=\x1b$B;3ED\x1b(B ", "Yamada=山田"),
        (b"\\ISO 2022 IR 149", b"Hong=\x1b$)C\xfb\xf3 ", "Hong=洪"),
    ],
)
def test_names_in_any_character_set_are_written_in_utf8(
    tmp_path: Path, charset: bytes, stored: bytes, name: str
) -> None:
    made = segmented(rewritten(tmp_path / "series", SpecificCharacterSet=charset, PatientName=stored))
    assert made.SpecificCharacterSet == "ISO_IR 192"
    assert str(made.PatientName) == name


def test_libraries_are_quiet(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = rewritten(tmp_path / "series", PatientID=b"A" * 70)
    volume, labels = labelled(folder)
    with caplog.at_level(logging.INFO):
        caplog.clear()
        write_segmentation(tmp_path / "seg.dcm", labels, volume.affine, folder)
    assert not caplog.records


def test_a_library_that_fails_is_a_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise IndexError("of a library")

    monkeypatch.setattr("lightning_liver.imageio.dicom_seg.Segmentation", fail)
    with pytest.raises(LiverError, match="its headers do not allow a DICOM segmentation"):
        segmented(series(tmp_path / "series"))
    assert [path.name for path in tmp_path.iterdir()] == ["series"]
