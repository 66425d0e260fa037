import tracemalloc
import warnings
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nibabel.orientations import aff2axcodes
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.pixels import get_decoder
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    EncapsulatedPDFStorage,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    MediaStorageDirectoryStorage,
    MRImageStorage,
    RLELossless,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
    TwelveLeadECGWaveformStorage,
    XRayRadiationDoseSRStorage,
)

from lightning_liver.errors import LiverError, LiverWarning
from lightning_liver.imageio.dicom import read_series, series_folders
from lightning_liver.imageio.nifti import read_labels, read_volume, write_labels
from lightning_liver.volume import from_canonical, to_canonical
from tests.imageio.dicom_files import (
    AXIAL,
    PIXEL_MM,
    SHAPE,
    STEP_MM,
    image,
    position_mm,
    rotated,
    stored,
    write_enhanced,
    write_series,
)

CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)
SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
HEAD_LAST = (-1.0, 0.0, 0.0, 0.0, 1.0, 0.0)  # the normal points to the feet
OBLIQUE = rotated(0.3, -0.2, 0.1)
ORIENTATIONS = (AXIAL, HEAD_LAST, CORONAL, SAGITTAL, OBLIQUE)


def standard_position_mm(path: Path, row: int, column: int) -> np.ndarray:
    """Return a pixel's position (LPS) by PS3.3 C.7.6.2.1-1: S, X and Y, dj and di as a matrix written out."""
    header = dcmread(path)
    (sx, sy, sz), (xx, xy, xz, yx, yy, yz) = header.ImagePositionPatient, header.ImageOrientationPatient
    between_rows, between_columns = header.PixelSpacing
    matrix = [
        [xx * between_columns, yx * between_rows, 0, sx],
        [xy * between_columns, yy * between_rows, 0, sy],
        [xz * between_columns, yz * between_rows, 0, sz],
        [0, 0, 0, 1],
    ]
    return (np.array(matrix, dtype=float) @ [column, row, 0, 1])[:3]


def test_an_axial_series_reads_in_order_of_position_not_of_name(tmp_path: Path) -> None:
    paths = write_series(tmp_path)
    assert sorted(paths) != paths
    volume = read_series(tmp_path)
    np.testing.assert_array_equal(volume.hu, stored().astype(int) - 1024)
    assert volume.hu.dtype == np.int16
    assert volume.hu.flags.c_contiguous
    assert volume.spacing_mm == pytest.approx((STEP_MM, *PIXEL_MM))


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_marked_voxel_has_the_position_of_the_standard(tmp_path: Path, orientation: tuple[float, ...]) -> None:
    pixels = np.zeros(SHAPE, np.uint16)
    k, j, i = 3, 5, 2
    pixels[k, j, i] = 3000
    paths = write_series(tmp_path, pixels, orientation=orientation)
    volume = read_series(tmp_path)
    ((z, y, x),) = np.argwhere(volume.hu == 3000 - 1024)
    grid = np.arange(np.prod(SHAPE)).reshape(SHAPE)
    at = np.unravel_index(to_canonical(grid, volume.affine)[z, y, x], SHAPE)[::-1]
    assert at == (i, j, k)
    ras_mm = (volume.affine @ [*at, 1])[:3]
    np.testing.assert_allclose(ras_mm * [-1, -1, 1], standard_position_mm(paths[k], j, i), atol=1e-5)


@settings(max_examples=12)
@given(st.tuples(*[st.floats(-np.pi, np.pi)] * 3), st.tuples(*[st.integers(0, n - 1) for n in SHAPE]))
def test_every_voxel_has_the_position_of_the_standard(tmp_path_factory, angles, voxel) -> None:
    folder = tmp_path_factory.mktemp("series")
    paths = write_series(folder, orientation=rotated(*angles))
    volume = read_series(folder)
    k, j, i = voxel
    assert from_canonical(volume.hu, volume.affine)[k, j, i] == int(stored()[k, j, i]) - 1024
    ras_mm = (volume.affine @ [i, j, k, 1])[:3]
    np.testing.assert_allclose(ras_mm * [-1, -1, 1], standard_position_mm(paths[k], j, i), atol=1e-5)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_canonical_axes_go_left_back_and_up(tmp_path: Path, orientation: tuple[float, ...]) -> None:
    """Return one step along each axis of the array, in millimetres, by the affine alone."""
    write_series(tmp_path, orientation=orientation)
    volume = read_series(tmp_path)
    number = np.arange(np.prod(SHAPE)).reshape(SHAPE)
    canonical = to_canonical(number, volume.affine)
    steps = [(1, 0, 0), (0, 1, 0), (0, 0, 1)]
    ijk = [np.array(np.unravel_index(canonical[at], SHAPE)[::-1]) for at in ((0, 0, 0), *steps)]
    moved = [volume.affine[:3, :3] @ (there - ijk[0]) * [-1, -1, 1] for there in ijk[1:]]
    for (z, y, x), millimetres, spacing_mm in zip(steps, moved, volume.spacing_mm, strict=True):
        assert np.linalg.norm(millimetres) == pytest.approx(spacing_mm)
        along = int(np.flatnonzero((x, y, z))[0])
        assert millimetres[along] == np.abs(millimetres).max() > 0


def test_the_same_scan_as_nifti_is_the_same_volume(tmp_path: Path) -> None:
    write_series(tmp_path / "series", orientation=OBLIQUE)
    volume = read_series(tmp_path / "series")
    voxels = (stored().astype(np.int16) - 1024).transpose(2, 1, 0)
    nib.save(nib.Nifti1Image(voxels, volume.affine), tmp_path / "v.nii")
    other = read_volume(tmp_path / "v.nii")
    np.testing.assert_array_equal(other.hu, volume.hu)
    np.testing.assert_allclose(other.spacing_mm, volume.spacing_mm, rtol=1e-6)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_mask_is_written_back_on_the_grid_of_the_series(tmp_path: Path, orientation: tuple[float, ...]) -> None:
    write_series(tmp_path / "series", orientation=orientation)
    volume = read_series(tmp_path / "series")
    labels = (volume.hu % 3).astype(np.uint8)
    write_labels(tmp_path / "mask.nii.gz", labels, volume.affine)
    image = nib.load(tmp_path / "mask.nii.gz")
    np.testing.assert_array_equal(np.asarray(image.dataobj).T, (stored().astype(int) - 1024) % 3)
    np.testing.assert_allclose(image.affine, volume.affine, atol=1e-4)
    assert image.header["sform_code"] == image.header["qform_code"] == 1  # no shear: ITK reads it too
    np.testing.assert_array_equal(read_labels(tmp_path / "mask.nii.gz", volume), labels)


def test_the_head_is_up_for_head_first_and_feet_first(tmp_path: Path) -> None:
    write_series(tmp_path, orientation=HEAD_LAST)
    volume = read_series(tmp_path)
    assert aff2axcodes(volume.affine) == ("R", "P", "I")
    np.testing.assert_array_equal(volume.hu, (stored().astype(int) - 1024)[::-1, :, ::-1])


def test_each_slice_has_its_own_rescale(tmp_path: Path) -> None:
    def edit(k: int, header: Dataset) -> None:
        header.RescaleSlope, header.RescaleIntercept = 0.5 + k / 4, -1000 + k

    write_series(tmp_path, edit=edit)
    k = np.arange(SHAPE[0])[:, None, None]
    np.testing.assert_array_equal(read_series(tmp_path).hu, np.rint(stored() * (0.5 + k / 4) - 1000 + k))


def test_signed_pixels_of_twelve_bits_are_read(tmp_path: Path) -> None:
    """The four bits above the stored ones are arbitrary, PS3.5 section 8.1.1."""
    values = (np.arange(np.prod(SHAPE)) - 150).reshape(SHAPE)
    pixels = ((values & 0x0FFF) | 0x5000).astype(np.int16)

    def edit(k: int, header: Dataset) -> None:
        header.BitsStored, header.HighBit, header.RescaleIntercept = 12, 11, 0

    write_series(tmp_path, pixels, edit=edit)
    np.testing.assert_array_equal(read_series(tmp_path).hu, values)


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian, RLELossless]
)
def test_other_transfer_syntaxes_give_the_same_volume(tmp_path: Path, syntax: str) -> None:
    def edit(k: int, header: Dataset) -> None:
        if syntax == ExplicitVRBigEndian:
            header.PixelData = stored()[k].astype(">u2").tobytes()
        if syntax == RLELossless:
            header.compress(RLELossless, encoding_plugin="pydicom", generate_instance_uid=False)
        header.file_meta.TransferSyntaxUID = syntax

    write_series(tmp_path, edit=edit)
    np.testing.assert_array_equal(read_series(tmp_path).hu, stored().astype(int) - 1024)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_frames_of_a_multi_frame_file_are_sorted_and_scaled_each(
    tmp_path: Path, orientation: tuple[float, ...]
) -> None:
    places = (2, 0, 4, 1, 3)
    write_enhanced(tmp_path / "multi" / "all", places=places, orientation=orientation)
    write_series(
        tmp_path / "single",
        orientation=orientation,
        edit=lambda k, header: setattr(header, "RescaleSlope", k + 1),
    )
    multi, single = read_series(tmp_path / "multi"), read_series(tmp_path / "single")
    np.testing.assert_array_equal(multi.hu, single.hu)
    np.testing.assert_array_equal(multi.affine, single.affine)


def test_a_series_may_lie_in_several_multi_frame_files(tmp_path: Path) -> None:
    write_enhanced(tmp_path / "a", places=(4, 1))
    write_enhanced(tmp_path / "b", places=(3, 0, 2))
    expected = stored().astype(int) * np.arange(1, 6)[:, None, None] - 1024
    np.testing.assert_array_equal(read_series(tmp_path).hu, expected)


def test_compressed_frames_are_sorted_too(tmp_path: Path) -> None:
    write_enhanced(tmp_path / "all", places=(2, 0, 4, 1, 3))
    header = dcmread(tmp_path / "all")
    header.compress(RLELossless, encoding_plugin="pydicom")
    header.save_as(tmp_path / "all")
    expected = stored().astype(int) * np.arange(1, 6)[:, None, None] - 1024
    np.testing.assert_array_equal(read_series(tmp_path).hu, expected)


def test_other_files_in_the_folder_are_ignored(tmp_path: Path) -> None:
    paths = write_series(tmp_path)
    (tmp_path / "DICOMDIR").write_bytes(bytes(128) + b"DICM" + bytes(50))
    (tmp_path / "notes.txt").write_text("portal venous")
    (tmp_path / f"._{paths[0].name}").write_bytes(b"left by another system")
    (tmp_path / "more").mkdir()
    paths[1].rename(tmp_path / "without_ending")
    np.testing.assert_array_equal(read_series(tmp_path).hu, stored().astype(int) - 1024)


def test_positions_written_with_few_digits_are_even(tmp_path: Path) -> None:
    def edit(k: int, header: Dataset) -> None:
        header.ImagePositionPatient = [round(mm, 1) for mm in position_mm(k * 0.625 / STEP_MM)]

    write_series(tmp_path, edit=edit)
    assert read_series(tmp_path).spacing_mm[0] == pytest.approx(0.625, rel=0.05)


def test_memory_is_the_volume_and_a_few_slices(tmp_path: Path) -> None:
    pixels = np.full((20, 256, 256), 1000, np.uint16)
    write_series(tmp_path, pixels)
    read_series(tmp_path)
    tracemalloc.start()
    hu = read_series(tmp_path).hu
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < hu.nbytes + 16 * hu[0].nbytes


@pytest.mark.parametrize("modality", ["SEG", "RTSTRUCT", "SR", "PR", "KO"])
def test_derived_objects_are_left_out(tmp_path: Path, modality: str) -> None:
    """Archives put segmentations, reports and presentation states beside the slices, or into folders of their own."""
    write_series(tmp_path / "study")
    alone = read_series(tmp_path / "study")
    for folder in ("study", "derived"):
        made = image(stored()[:2], SegmentationStorage, "1.2.3.4")
        made.Modality = modality
        (tmp_path / folder).mkdir(exist_ok=True)
        made.save_as(tmp_path / folder / "0-made.dcm", enforce_file_format=True)
    assert series_folders(tmp_path) == [tmp_path / "study"]
    with pytest.warns(LiverWarning, match=rf"left out \(Segmentation Storage, {modality}: 0-made.dcm\)"):
        np.testing.assert_array_equal(read_series(tmp_path / "study").hu, alone.hu)
    with pytest.raises(LiverError, match=f"not CT \\({modality}"):
        read_series(tmp_path / "derived")


def beside(path: Path, sop_class: str, *, pixels: bool, **elements: object) -> None:
    """Write a DICOM file that is no slice."""
    made = image(stored()[0], sop_class, "1.2.3.4")
    if not pixels:
        del made.PixelData, made.Rows, made.Columns
    for name, value in elements.items():
        setattr(made, name, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    made.save_as(path, enforce_file_format=True)


OTHERS: dict[str, tuple[str, bool, dict[str, object]]] = {
    "table of contents": (MediaStorageDirectoryStorage, False, {"Modality": ""}),
    "report": (EncapsulatedPDFStorage, False, {"Modality": "DOC"}),
    "dose": (XRayRadiationDoseSRStorage, False, {"Modality": "SR"}),
    "heart": (TwelveLeadECGWaveformStorage, False, {"Modality": "ECG"}),
    "screenshot": (SecondaryCaptureImageStorage, True, {}),
    "scout": (CTImageStorage, True, {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}),
    "resonance": (MRImageStorage, True, {"Modality": "MR"}),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_files_that_are_no_ct_are_left_out_and_folders_below_are_read(tmp_path: Path, kind: str) -> None:
    """As in exports of Philips, whose table of contents is called DIRFILE, and stands above the series."""
    sop_class, pixels, elements = OTHERS[kind]
    write_series(tmp_path / "export" / "series")
    beside(tmp_path / "export" / "DIRFILE", sop_class, pixels=pixels, **elements)
    beside(tmp_path / "export" / "series" / "other", sop_class, pixels=pixels, **elements)
    if pixels:
        with pytest.warns(LiverWarning, match="other DICOM images than slices of a CT are left out: .*export"):
            found = series_folders(tmp_path)
    else:
        found = series_folders(tmp_path)
    assert found == [tmp_path / "export" / "series"]
    with pytest.warns(LiverWarning, match=r"1 DICOM files are no slices of a CT and are left out \(.*: other\)"):
        volume = read_series(tmp_path / "export" / "series")
    np.testing.assert_array_equal(volume.hu, stored().astype(int) - 1024)


def test_a_series_above_another_hides_it_not(tmp_path: Path) -> None:
    write_series(tmp_path)
    write_series(tmp_path / "late", uid="1.2.3.9")
    assert series_folders(tmp_path) == [tmp_path, tmp_path / "late"]


def test_folders_of_another_modality_alone_are_found_to_be_refused(tmp_path: Path) -> None:
    beside(tmp_path / "a" / "b", MRImageStorage, pixels=True, Modality="MR")
    assert series_folders(tmp_path) == [tmp_path / "a"]


def test_folders_that_link_to_each_other_are_read_once(tmp_path: Path) -> None:
    """Three folders with links to both others have no end of paths."""
    names = ("a", "b", "c")
    for name in names:
        write_series(tmp_path / name)
    for name in names:
        for other in names:
            (tmp_path / name / f"to {other}").symlink_to(tmp_path / other)
    assert series_folders(tmp_path) == [tmp_path / name for name in names]


@pytest.mark.parametrize("start", [132, None])
def test_files_without_preamble_are_read(tmp_path: Path, start: int | None) -> None:
    """With the meta information, and without, as old archives have it; the ending is then any."""
    paths = write_series(tmp_path)
    for path in paths:
        content = path.read_bytes()
        begin = content.index(b"\x08\x00\x08\x00CS") if start is None else start
        path.with_suffix("").write_bytes(content[begin:])
        path.unlink()
    (tmp_path / "notes").write_bytes(b"\x08\x00 no DICOM" * 20)
    assert series_folders(tmp_path) == [tmp_path]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", LiverWarning)
        np.testing.assert_array_equal(read_series(tmp_path).hu, stored().astype(int) - 1024)
    assert ["name no transfer syntax" in str(each.message) for each in caught] == [True] * (start is None)


def test_a_missing_transfer_syntax_is_found_from_the_bytes(tmp_path: Path) -> None:
    for path in write_series(tmp_path):
        header = dcmread(path)
        del header.file_meta.TransferSyntaxUID
        header.save_as(path, enforce_file_format=False, implicit_vr=False, little_endian=True)
    with pytest.warns(LiverWarning, match="5 files, such as IM.*Explicit VR Little Endian is assumed"):
        np.testing.assert_array_equal(read_series(tmp_path).hu, stored().astype(int) - 1024)


@pytest.mark.parametrize("unit", ["hu", "Hounsfield", "HOUNSFIELD UNITS ", "US"])
def test_hounsfield_units_have_many_spellings(tmp_path: Path, unit: str) -> None:
    write_series(tmp_path, edit=lambda k, header: setattr(header, "RescaleType", unit))
    np.testing.assert_array_equal(read_series(tmp_path).hu, stored().astype(int) - 1024)


def test_an_empty_sequence_of_frames_is_none(tmp_path: Path) -> None:
    write_series(tmp_path, edit=lambda k, header: setattr(header, "PerFrameFunctionalGroupsSequence", []))
    np.testing.assert_array_equal(read_series(tmp_path).hu, stored().astype(int) - 1024)


def test_a_ct_without_modality_is_known_by_its_kind(tmp_path: Path) -> None:
    write_series(tmp_path, edit=lambda k, header: setattr(header, "Modality", ""))
    assert series_folders(tmp_path) == [tmp_path]
    np.testing.assert_array_equal(read_series(tmp_path).hu, stored().astype(int) - 1024)


@pytest.mark.parametrize(("bits", "dtype"), [(16, np.uint16), (16, np.int16), (12, np.uint16), (13, np.int16)])
@pytest.mark.parametrize("limit", [None, 63540])
def test_padding_becomes_air(tmp_path: Path, bits: int, dtype: type, limit: int | None) -> None:
    """63536 is -2000 in 16 bits, as some scanners fill the corners outside of their round field of view."""
    pixels = stored()
    pixels[:, :2] = 63536
    pixels[0, 3, 3] = 2096  # what is left of 63536 in 12 bits: a value of its own here

    def edit(k: int, header: Dataset) -> None:
        header.BitsStored, header.HighBit = bits, bits - 1
        header.add_new("PixelPaddingValue", "US", 63536)
        if limit is not None:
            header.add_new("PixelPaddingRangeLimit", "US", limit)

    write_series(tmp_path, pixels.view(dtype), edit=edit)
    expected = pixels.astype(int) - 1024
    expected[:, :2] = -1024
    np.testing.assert_array_equal(read_series(tmp_path).hu, expected)


def test_padding_that_tissue_can_have_is_left_alone(tmp_path: Path) -> None:
    """Some headers declare 0 where 0 is water."""
    pixels = (np.arange(np.prod(SHAPE)) - 150).reshape(SHAPE).astype(np.int16)

    def declare(k: int, header: Dataset) -> None:
        header.RescaleIntercept = 0
        header.add_new("PixelPaddingValue", "SS", 0)

    write_series(tmp_path, pixels, edit=declare)
    np.testing.assert_array_equal(read_series(tmp_path).hu, pixels)


def test_jpeg_2000_whose_signs_the_header_has_wrong_is_read(tmp_path: Path) -> None:
    """A file of pydicom's own tests; a second slice is made of it."""
    source = get_testdata_file("J2K_pixelrep_mismatch.dcm", download=False)
    if source is None or not get_decoder(JPEG2000Lossless).is_available:
        pytest.skip("pydicom's test file, or a decoder of JPEG 2000, is missing")
    header = dcmread(source)
    expected = header.pixel_array.astype(int)
    first, (*along, yx, yy, yz) = np.array(header.ImagePositionPatient, float), header.ImageOrientationPatient
    for k in range(2):
        header.ImagePositionPatient = (first + k * np.cross(np.array(along, float), (yx, yy, yz))).tolist()
        header.save_as(tmp_path / f"{k}.dcm")
    volume = read_series(tmp_path)
    hu = from_canonical(volume.hu, volume.affine)
    np.testing.assert_array_equal(hu[0], expected)
    np.testing.assert_array_equal(hu[1], expected)


def test_folders_of_series_are_found_and_sorted(tmp_path: Path) -> None:
    for name in ("b/study/series", "a/series 2", "a/series 1"):
        write_series(tmp_path / name)
    (tmp_path / "a" / "empty").mkdir()
    (tmp_path / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
    (tmp_path / "a" / "read me.txt").write_text("")
    (tmp_path / "a" / "circle").symlink_to(tmp_path)
    found = [str(folder.relative_to(tmp_path)) for folder in series_folders(tmp_path)]
    assert found == ["a/series 1", "a/series 2", "b/study/series"]
    assert series_folders(tmp_path / "b" / "study" / "series") == [tmp_path / "b" / "study" / "series"]
    assert series_folders(tmp_path / "a" / "empty") == []
