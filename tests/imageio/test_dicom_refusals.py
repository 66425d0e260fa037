"""Anything but one CT series is refused, with a message that says what was seen, where, and what to do."""

import re
import tracemalloc
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.pixels.decoders.base import Decoder
from pydicom.uid import HTJ2K, DeflatedExplicitVRLittleEndian, JPEGLosslessSV1, SecondaryCaptureImageStorage

from lightning_liver.errors import LiverError
from lightning_liver.imageio.dicom import read_series, series_folders
from lightning_liver.imageio.dicom_files import read_dicom
from tests.imageio.dicom_files import SHAPE, STEP_MM, position_mm, stored, write_enhanced, write_series

OTHER_UID = "1.2.826.0.1.3680043.8.498.9"
_UNKNOWN = "1.2.3.4"


def refusal(folder: Path) -> str:
    with pytest.raises(LiverError) as refused:
        read_series(folder)
    assert str(folder) in str(refused.value)
    return str(refused.value)


def only(number: int, **elements: object) -> Callable[[int, Dataset], None]:
    """Change elements of slice `number` alone."""

    def edit(k: int, header: Dataset) -> None:
        if k == number:
            for name, value in elements.items():
                setattr(header, name, value)

    return edit


def every(**elements: object) -> Callable[[int, Dataset], None]:
    def edit(k: int, header: Dataset) -> None:
        for name, value in elements.items():
            setattr(header, name, value)

    return edit


def without(name: str) -> Callable[[int, Dataset], None]:
    def edit(k: int, header: Dataset) -> None:
        if k == 2:
            delattr(header, name)

    return edit


@pytest.mark.parametrize("angle", [-30.0, 2.0, 0.7])
def test_gantry_tilt_is_refused_with_its_angle(tmp_path: Path, angle: float) -> None:
    def tilt(k: int, header: Dataset) -> None:
        x, y, z = position_mm(k)
        header.ImagePositionPatient = [x, y + k * STEP_MM * np.tan(np.radians(angle)), z]

    write_series(tmp_path, np.tile(stored(), (3, 1, 1)), edit=tilt)
    message = refusal(tmp_path)
    assert f"({abs(angle):.1f} degrees)" in message
    assert "tilt" in message
    assert "dcm2niix" in message


@pytest.mark.parametrize("lacking", [(1,), (2,), (2, 3), (1, 3)])
def test_missing_slices_are_refused_with_their_neighbours(tmp_path: Path, lacking: tuple[int, ...]) -> None:
    paths = write_series(tmp_path, np.tile(stored(), (2, 1, 1)))
    for k in lacking:
        paths[k].unlink()
    message = refusal(tmp_path)
    assert f"missing slices: about {len(lacking)}, in {1 if lacking != (1, 3) else 2} of the gaps" in message
    assert paths[lacking[0] - 1].name in message
    assert "2.50 mm apart" in message


def test_a_slice_missing_near_the_end_of_many_is_detected(tmp_path: Path) -> None:
    paths = write_series(tmp_path, np.zeros((60, 2, 3), np.uint16))
    paths[58].unlink()
    assert "missing slices: about 1, in 1 of the gaps" in refusal(tmp_path)


def test_doubled_slices_are_refused_by_name(tmp_path: Path) -> None:
    paths = write_series(tmp_path)
    (tmp_path / "copy.dcm").write_bytes(paths[3].read_bytes())
    message = refusal(tmp_path)
    assert "1 of 6 slices lie where another lies" in message
    assert "copy.dcm" in message
    assert paths[3].name in message


def test_uneven_spacing_is_refused_with_its_range(tmp_path: Path) -> None:
    depths = (0, 1, 2.4, 3.6, 4.8)
    write_series(tmp_path, edit=lambda k, header: setattr(header, "ImagePositionPatient", position_mm(depths[k])))
    message = refusal(tmp_path)
    assert "unevenly spaced, 2.500 to 3.500 mm apart" in message
    assert "NIfTI" in message


def test_two_patients_are_refused(tmp_path: Path) -> None:
    write_series(tmp_path, edit=only(1, PatientID="P2"))
    message = refusal(tmp_path)
    assert "2 patients" in message
    assert re.search(r"P1: IM\d+.dcm, .*; P2: IM\d+.dcm\)", message)


def test_two_series_are_refused_and_described(tmp_path: Path) -> None:
    write_series(tmp_path)
    paths = write_series(tmp_path / "b", uid=OTHER_UID, edit=every(SeriesNumber=4, SeriesDescription="Arterial"))
    for path in paths:
        path.rename(tmp_path / f"b{path.name}")
    message = refusal(tmp_path)
    assert "2 series" in message
    assert "series 3 Portal venous: IM" in message
    assert "series 4 Arterial: bIM" in message


def test_localizers_alone_are_named(tmp_path: Path) -> None:
    write_series(tmp_path, edit=every(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]))
    assert "5 of 5 DICOM files are localizers (series 3 Portal venous: IM" in refusal(tmp_path)


@pytest.mark.parametrize(("bits", "high"), [(12, 15), (12, 12), (16, 11)])
def test_pixels_in_the_upper_bits_are_refused(tmp_path: Path, bits: int, high: int) -> None:
    write_series(tmp_path, edit=every(BitsStored=bits, HighBit=high))
    message = refusal(tmp_path)
    assert "5 of 5 DICOM files are stored in the upper bits" in message
    assert f"HighBit {high} of {bits} bits stored" in message


@pytest.mark.parametrize(
    ("elements", "said"),
    [
        ({"ImageOrientationPatient": [1, 0, 0, 0, 0, -1]}, "another orientation"),
        ({"PixelSpacing": [0.75, 0.75]}, "another pixel spacing"),
        ({"Rows": 14, "PixelData": bytes(14 * 9 * 2)}, "14 x 9: "),
        ({"SamplesPerPixel": 3, "PixelData": bytes(3 * 7 * 9 * 2)}, "7 x 9 x 3 colours"),
    ],
)
def test_a_slice_unlike_the_others_is_named(tmp_path: Path, elements: dict[str, object], said: str) -> None:
    paths = write_series(tmp_path, edit=only(3, **elements))
    message = refusal(tmp_path)
    assert said in message
    assert "1 of 5 slices" in message
    assert paths[3].name in message


def test_an_empty_high_bit_says_nothing(tmp_path: Path) -> None:
    write_series(tmp_path, edit=lambda k, header: header.add_new("HighBit", "SH", ""))
    assert read_series(tmp_path).hu.size == np.prod(SHAPE)


def test_a_file_of_an_unknown_kind_in_a_damaged_element_is_refused(tmp_path: Path) -> None:
    """pydicom converts an element on access, and knows no value representation Uu: a flipped bit of UI."""
    path = write_series(tmp_path)[1]
    kind, of_file = b"\x08\x00\x16\x00UI", b"\x02\x00\x02\x00U"
    path.write_bytes(path.read_bytes().replace(kind, b"\x08\x00\x17\x00UI").replace(of_file + b"I", of_file + b"u"))
    modality = b"\x08\x00\x60\x00CS"
    path.write_bytes(path.read_bytes().replace(modality, b"\x08\x00\x61\x00CS"))
    assert "no SOP class" in refusal(tmp_path)


def test_a_frame_of_another_orientation_is_named(tmp_path: Path) -> None:
    def edit(_: int, header: Dataset) -> None:
        own = Dataset()
        own.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]
        header.PerFrameFunctionalGroupsSequence[2].PlaneOrientationSequence = [own]

    write_enhanced(tmp_path / "all.dcm", places=(0, 1, 2, 3, 4), edit=edit)
    assert "all.dcm frame 3" in refusal(tmp_path)


def test_another_modality_is_refused(tmp_path: Path) -> None:
    write_series(tmp_path, edit=every(Modality="MR"))
    message = refusal(tmp_path)
    assert "5 of 5 DICOM files are not CT (MR: IM" in message
    assert "and 1 more" in message


def test_files_without_pixels_are_named(tmp_path: Path) -> None:
    def strip(_: int, header: Dataset) -> None:
        del header.PixelData, header.Rows, header.Columns
        header.SOPClassUID = SecondaryCaptureImageStorage

    paths = write_series(tmp_path, edit=strip)
    message = refusal(tmp_path)
    assert "5 of 5 DICOM files are without pixel data (Secondary Capture Image Storage" in message
    assert min(paths).name in message


@pytest.mark.parametrize(
    "elements", [{"Rows": 0}, {"Modality": "MR"}, {"SOPClassUID": ["1.2.3", "1.2.4"], "Modality": "OT"}]
)
def test_a_file_of_the_series_that_is_no_slice_is_not_left_out(tmp_path: Path, elements: dict[str, object]) -> None:
    """A damaged slice at the end of a scan would be missed by no other check."""
    paths = write_series(tmp_path, edit=only(4, **elements))
    message = refusal(tmp_path)
    assert f"{paths[4].name}: of the CT's series, but no slice" in message


def test_a_file_whose_pixels_were_removed_is_named(tmp_path: Path) -> None:
    paths = write_series(tmp_path, edit=without("PixelData"))
    assert f"{paths[2].name}: the pixels cannot be decoded" in refusal(tmp_path)


def test_a_file_cut_short_is_named(tmp_path: Path) -> None:
    paths = write_series(tmp_path)
    paths[2].write_bytes(paths[2].read_bytes()[:-20])
    assert f"{paths[2].name}: the pixels cannot be decoded" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ImagePositionPatient", "ImagePositionPatient is missing"),
        ("ImageOrientationPatient", "ImageOrientationPatient is missing"),
        ("PixelSpacing", "PixelSpacing is missing"),
        ("RescaleSlope", "RescaleSlope is missing"),
        ("RescaleIntercept", "RescaleIntercept is missing"),
    ],
)
def test_a_missing_attribute_of_a_slice_is_named(tmp_path: Path, name: str, said: str) -> None:
    paths = write_series(tmp_path, edit=without(name))
    message = refusal(tmp_path)
    assert said in message
    assert paths[2].name in message


@pytest.mark.parametrize(
    ("elements", "said"),
    [
        ({"PixelSpacing": [0, 0.7]}, r"PixelSpacing is \[0.0, 0.7\] mm, positive"),
        ({"ImagePositionPatient": [1, 2]}, r"ImagePositionPatient is \[1.0, 2.0\]"),
        ({"RescaleType": "Z_EFF"}, "values are Z_EFF"),
        ({"RescaleSlope": 40}, "values from 34976 to .* HU after the rescale .slope 40"),
        ({"RescaleIntercept": -40000}, "values from -39100 to .* intercept -40000"),
        ({"NumberOfFrames": 3}, "3 frames, but positions .* for 0"),
        ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, "right angles"),
        ({"ImageOrientationPatient": [2, 0, 0, 0, 1, 0]}, "unit vectors"),
    ],
)
def test_invalid_values_are_refused(tmp_path: Path, elements: dict[str, object], said: str) -> None:
    write_series(tmp_path, edit=every(**elements))
    assert re.search(said, refusal(tmp_path))


@pytest.mark.parametrize("name", ["PlanePositionSequence", "PixelValueTransformationSequence"])
def test_a_frame_without_its_groups_is_named(tmp_path: Path, name: str) -> None:
    def edit(_: int, header: Dataset) -> None:
        delattr(header.PerFrameFunctionalGroupsSequence[3], name)

    write_enhanced(tmp_path / "all.dcm", places=(0, 1, 2, 3, 4), edit=edit)
    assert f"all.dcm: frame 4 has no {name}" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("syntax", "package"),
    [(JPEGLosslessSV1, "python-gdcm"), (HTJ2K, "pylibjpeg-openjpeg"), (_UNKNOWN, "decompress")],
)
def test_the_package_that_decodes_a_compressed_series_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, syntax: str, package: str
) -> None:
    """Independent of installed packages."""
    monkeypatch.setattr(Decoder, "is_available", False)

    def edit(k: int, header: Dataset) -> None:
        header["PixelData"].is_undefined_length = True
        header.PixelData = b"\xfe\xff\x00\xe0" + bytes(4) + b"\xfe\xff\x00\xe0" + b"\x04\x00\x00\x00" + bytes(4)
        header["PixelData"].VR = "OB"
        header.file_meta.TransferSyntaxUID = JPEGLosslessSV1 if syntax == _UNKNOWN else syntax

    for path in write_series(tmp_path, edit=edit):
        if syntax == _UNKNOWN:  # pydicom does not write such
            known = JPEGLosslessSV1.encode()
            path.write_bytes(path.read_bytes().replace(known, syntax.encode().ljust(len(known), b"\0")))
    message = refusal(tmp_path)
    assert "5 files (IM" in message
    assert package in message


@pytest.mark.parametrize(
    ("elements", "said"),
    [
        ({"NumberOfFrames": 100_000}, "100000 frames, at most 10000 of a file are read"),
        ({"NumberOfFrames": 9000}, "9000 frames need 1134000 bytes, the file has"),
        ({"Rows": 20_000, "Columns": 20_000}, "5 x 20000 x 20000 voxels, at most 900,000,000 are read"),
        ({"Rows": 10_000, "Columns": 10_000}, "slices of 5 x 10000 x 10000 pixels, at most 16,777,216 are read"),
    ],
)
def test_promises_beyond_the_file_are_refused_before_its_frames_are_parsed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, elements: dict[str, int], said: str
) -> None:
    write_enhanced(tmp_path / "all.dcm", places=(0, 1, 2, 3, 4), edit=every(**elements))
    asked: list[str] = []

    def read(path: Path, **reading: Any) -> Dataset:
        asked.extend(reading["specific_tags"])
        return read_dicom(path, **reading)

    monkeypatch.setattr("lightning_liver.imageio.dicom_header.read_dicom", read)
    assert said in refusal(tmp_path)
    assert "NumberOfFrames" in asked
    assert "PerFrameFunctionalGroupsSequence" not in asked


def test_a_deflated_file_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 3 MB pydicom would make 3 GB and more, before the header is known."""
    monkeypatch.setattr("lightning_liver.imageio.dicom_files.MOST_UNPACKED", 1 << 24)
    syntax = DeflatedExplicitVRLittleEndian
    paths = write_series(tmp_path, edit=lambda k, header: setattr(header.file_meta, "TransferSyntaxUID", syntax))
    read_series(tmp_path)
    header = dcmread(paths[2])
    header.add_new(0x00091001, "OB", bytes(1 << 27))
    header.save_as(paths[2])
    del header
    tracemalloc.start()
    assert "unpack to more than 16777216 (deflated)" in refusal(tmp_path)
    assert tracemalloc.get_traced_memory()[1] < 40e6
    tracemalloc.stop()


def test_a_folder_without_dicom_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    assert "none of its 1 files is DICOM" in refusal(tmp_path)
    assert "no such folder" in refusal(tmp_path / "absent")
    with pytest.raises(LiverError, match="absent: no such folder"):
        series_folders(tmp_path / "absent")


def test_a_file_named_as_dicom_that_is_none_is_refused(tmp_path: Path) -> None:
    paths = write_series(tmp_path)
    paths[4].write_bytes(b"")
    assert f"{paths[4].name}: named as DICOM, but without the mark of a DICOM file (0 bytes)" in refusal(tmp_path)


def test_a_single_slice_is_refused(tmp_path: Path) -> None:
    write_series(tmp_path, stored()[:1])
    assert "at least 2" in refusal(tmp_path)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(132, 900), st.integers(0, 255)), max_size=6), st.integers(132, 1200))
def test_damaged_files_are_refused_or_read_but_never_crash(tmp_path_factory, changes, length) -> None:
    folder = tmp_path_factory.mktemp("series")
    paths = write_series(folder, stored((2, *SHAPE[1:])))
    content = bytearray(paths[1].read_bytes())
    for at, value in changes:
        content[min(at, len(content) - 1)] = value
    paths[1].write_bytes(content[:length])
    with suppress(LiverError), warnings.catch_warnings(action="ignore"):
        assert read_series(folder).hu.shape == (2, *SHAPE[1:])
