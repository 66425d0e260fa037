import tracemalloc
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nibabel.orientations import aff2axcodes
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    RLELossless,
    SegmentationStorage,
)

from lightning_liver.errors import LiverError
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
def test_derived_objects_are_ignored(tmp_path: Path, modality: str) -> None:
    """Archives put segmentations, reports and presentation states beside the slices, or into folders of their own."""
    write_series(tmp_path / "study")
    alone = read_series(tmp_path / "study")
    for folder in ("study", "derived"):
        made = image(stored()[:2], SegmentationStorage, "1.2.3.4")
        made.Modality = modality
        (tmp_path / folder).mkdir(exist_ok=True)
        made.save_as(tmp_path / folder / "0-made.dcm", enforce_file_format=True)
    assert series_folders(tmp_path) == [tmp_path / "study"]
    np.testing.assert_array_equal(read_series(tmp_path / "study").hu, alone.hu)
    with pytest.raises(LiverError, match=f"not CT \\({modality}"):
        read_series(tmp_path / "derived")


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
