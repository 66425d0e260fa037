import errno
import os
import tracemalloc
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nibabel.affines import voxel_sizes
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

from lightning_liver.errors import LiverError
from lightning_liver.imageio.label_values import label_values
from lightning_liver.imageio.nifti import read_header, read_labels, read_map, read_volume, write_labels, write_map
from tests.imageio.nifti_files import (
    AFFINES,
    LPS,
    SHAPE,
    affine_of,
    canonical_labels,
    labels_of,
    numbers,
    oblique,
    oracle,
    save,
    volume_at,
)


@pytest.mark.parametrize("affine", AFFINES)
def test_every_orientation_reads_as_in_nibabel(tmp_path, affine):
    path = save(tmp_path / "v.nii", numbers(), affine)
    volume = read_volume(path)
    expected = nib.as_closest_canonical(nib.load(path))
    np.testing.assert_array_equal(volume.hu, oracle(path))
    np.testing.assert_allclose(volume.spacing_mm, voxel_sizes(expected.affine)[::-1], rtol=1e-6)
    assert volume.hu.flags.c_contiguous


def test_a_map_is_read_as_it_was_written(tmp_path):
    affine = AFFINES[-1]
    volume = volume_at(tmp_path, affine)
    written = np.random.default_rng(0).integers(0, 256, volume.hu.shape, np.uint8)
    write_map(tmp_path / "map.nii.gz", written, volume.affine, largest=0.7)
    read, largest = read_map(tmp_path / "map.nii.gz", volume)
    np.testing.assert_array_equal(read, written)
    assert largest == pytest.approx(0.7)
    with pytest.raises(LiverError, match="expected bytes scaled from 0, found float64"):
        read_map(save(tmp_path / "other.nii", labels_of().astype(float), affine), volume)


@pytest.mark.parametrize("affine", AFFINES)
def test_every_orientation_is_written_back_voxel_for_voxel(tmp_path, affine):
    stored = labels_of()
    volume = volume_at(tmp_path, affine)
    written = tmp_path / "back.nii.gz"
    write_labels(written, read_labels(save(tmp_path / "s.nii", stored, affine), volume), volume.affine)
    image = nib.load(written)
    np.testing.assert_array_equal(np.asarray(image.dataobj), stored)
    np.testing.assert_allclose(image.affine, nib.load(tmp_path / "volume-1.nii").affine, atol=1e-6)
    np.testing.assert_allclose(image.header.get_zooms(), voxel_sizes(affine), rtol=1e-6)
    assert image.get_data_dtype() == np.uint8
    assert image.header.get_xyzt_units()[0] == "mm"


@settings(deadline=None, max_examples=60)
@given(st.tuples(*[st.floats(-np.pi, np.pi)] * 3), st.floats(-0.3, 0.3))
def test_a_bright_voxel_stays_where_it_was_in_the_body(tmp_path_factory, angles, shear):
    affine = oblique(*angles, shear)
    folder = tmp_path_factory.mktemp("v")
    volume = volume_at(folder, affine)
    turned = ornt_transform(io_orientation(affine), axcodes2ornt("LPS"))
    for number in (0, 13, 200):  # the value of a voxel is its place in the file
        index = np.array(np.unravel_index(number, SHAPE))
        found = np.argwhere(volume.hu == number)[0][::-1]
        assert [int(i) for i in index] == [
            int(found[int(to)] if step > 0 else SHAPE[axis] - 1 - found[int(to)])
            for axis, (to, step) in enumerate(turned)
        ]


def test_mirrored_affine_keeps_millimetres(tmp_path):
    volume = volume_at(tmp_path, affine_of((2, 0, 1), (-1, 1, -1)))
    assert volume.spacing_mm == pytest.approx((0.7, 2.5, 0.8))  # i runs along z, j along x, k along y
    assert volume.hu.shape == (5, 7, 6)


def test_header_has_shape_and_spacing_of_the_volume(tmp_path):
    path = save(tmp_path / "v.nii.gz", numbers(), affine_of((2, 0, 1), (-1, 1, -1)))
    header, volume = read_header(path), read_volume(path)
    assert (header.shape, header.spacing_mm, header.voxels) == (volume.hu.shape, volume.spacing_mm, volume.hu.size)
    assert header.dtype == np.int16
    np.testing.assert_array_equal(header.affine, volume.affine)


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"])
@pytest.mark.parametrize("kind", [nib.Nifti1Header, nib.Nifti2Header])
@pytest.mark.parametrize("endianness", ["<", ">"])
def test_every_real_type_and_byte_order_reads_as_in_nibabel(tmp_path, dtype, kind, endianness):
    voxels = (numbers() % 100).astype(dtype)
    path = save(tmp_path / "v.nii.gz", voxels, kind=kind, endianness=endianness)
    np.testing.assert_array_equal(read_volume(path).hu, oracle(path))
    assert set(np.unique(oracle(path))) == set(range(100))


def test_scaling_is_applied_and_rounded_to_the_nearest(tmp_path):
    path = save(tmp_path / "v.nii", numbers(), scl_slope=1.57, scl_inter=-1024)
    np.testing.assert_array_equal(read_volume(path).hu, np.rint(oracle(path)))


@pytest.mark.parametrize("slope", [0, np.nan])
def test_missing_slope_means_no_scaling(tmp_path, slope):
    volume = volume_at(tmp_path, scl_slope=slope, scl_inter=7)
    assert volume.hu.max() == numbers().max()


def test_values_beyond_int16_are_clipped_and_padding_is_kept(tmp_path):
    voxels = numbers(dtype=np.int32)
    voxels[0, 0, :4] = (-3024, 70000, -(2**31), 2**31 - 1)
    hu = read_volume(save(tmp_path / "v.nii", voxels, np.diag([-1, -1, 2.5, 1]))).hu
    assert hu[:4, 0, 0].tolist() == [-3024, 32767, -32768, 32767]


@pytest.mark.parametrize("name", ["v.nii", "v.nii.gz"])
def test_gzip_is_recognised_by_its_bytes_not_by_the_name(tmp_path, name):
    other = save(tmp_path / {"v.nii": "other.nii.gz", "v.nii.gz": "other.nii"}[name], numbers())
    np.testing.assert_array_equal(read_volume(other.rename(tmp_path / name)).hu, volume_at(tmp_path).hu)


def test_voxels_are_read_in_slabs_whatever_the_slowest_axis(tmp_path, monkeypatch):
    monkeypatch.setattr("lightning_liver.imageio.nifti._SLAB", 37)
    path = save(tmp_path / "v.nii.gz", numbers(), scl_slope=2)
    np.testing.assert_array_equal(read_volume(path).hu, oracle(path))


@pytest.mark.parametrize("shape", [(*SHAPE, 1), (*SHAPE, 1, 1)])
def test_trailing_axes_of_one_are_accepted(tmp_path, shape):
    path = save(tmp_path / "v.nii", numbers().reshape(shape))
    assert read_volume(path).hu.shape == SHAPE[::-1]


def test_voxels_behind_an_extension_are_found(tmp_path):
    image = nib.Nifti1Image(numbers(), LPS)
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"x" * 100))
    nib.save(image, tmp_path / "v.nii.gz")
    np.testing.assert_array_equal(read_volume(tmp_path / "v.nii.gz").hu, oracle(tmp_path / "v.nii.gz"))


def test_offset_of_zero_means_right_after_the_header(tmp_path):
    assert volume_at(tmp_path, vox_offset=0).hu.max() == numbers().max()


def test_mask_of_another_shape_is_refused_with_both(tmp_path):
    with pytest.raises(LiverError, match=r"s\.nii: the mask has 7 x 6 x 5 voxels, its volume 5 x 6 x 7"):
        read_labels(save(tmp_path / "s.nii", labels_of(SHAPE[::-1])), volume_at(tmp_path))


def test_labels_beyond_two_are_refused_and_up_to_eight_are_listed(tmp_path):
    voxels = labels_of()
    voxels[0, 0] = [2, 3, 4, 255, 1, 0, 2]
    with pytest.raises(LiverError, match=r"s\.nii: .* also has 3, 4, 255; map them .*data.labels"):
        read_labels(save(tmp_path / "s.nii", voxels), volume_at(tmp_path))
    with pytest.raises(LiverError, match=r"also has 3, 4, 5, 6, 7, 8, 9, 10; map"):
        read_labels(save(tmp_path / "s.nii", numbers()), volume_at(tmp_path))


def test_negative_labels_are_refused(tmp_path):
    with pytest.raises(LiverError, match="also has -1;"):
        read_labels(save(tmp_path / "s.nii", -(numbers() % 2)), volume_at(tmp_path))


@pytest.mark.parametrize("dtype", ["f4", "f8", "i8", "u2"])
def test_labels_of_any_type_are_accepted_where_they_are_whole(tmp_path, dtype):
    mask = save(tmp_path / "s.nii", labels_of().astype(dtype))
    labels = read_labels(mask, volume_at(tmp_path))
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, canonical_labels(LPS, tmp_path))


@pytest.mark.parametrize(("factor", "slope"), [(100, 0.01), (64, 1 / 64), (85, 1.0002 / 85)])
def test_scaled_labels_are_unscaled_before_they_are_judged(tmp_path, factor, slope):
    """A slope of 0.01 in float32 gives 0.99999998."""
    mask = save(tmp_path / "s.nii", labels_of() * factor, scl_slope=slope)
    np.testing.assert_array_equal(read_labels(mask, volume_at(tmp_path)), canonical_labels(LPS, tmp_path))


@pytest.mark.parametrize("off", [2e-5, -1e-7, 0.0099, -0.0099])
@pytest.mark.parametrize("given", [None, {"liver": [1], "tumour": [2], "background": "others"}])
def test_labels_are_whole_but_for_rounding(tmp_path, off, given):
    mask = save(tmp_path / "s.nii", labels_of().astype("f4") + off)
    labels = read_labels(mask, volume_at(tmp_path), label_values(given, "data.labels"))
    np.testing.assert_array_equal(labels, canonical_labels(LPS, tmp_path))


@pytest.mark.parametrize("off", [0.02, -0.02])
def test_labels_beyond_rounding_are_interpolated(tmp_path, off):
    with pytest.raises(LiverError, match="without interpolation"):
        read_labels(save(tmp_path / "s.nii", labels_of() + off), volume_at(tmp_path))


def test_interpolated_labels_are_refused(tmp_path):
    with pytest.raises(LiverError, match=r"also has 0\.5, 1\.5; resample the mask by nearest neighbour"):
        read_labels(save(tmp_path / "s.nii", (numbers() % 4) / 2.0), volume_at(tmp_path))


def test_labels_that_are_not_finite_are_refused(tmp_path):
    with pytest.raises(LiverError, match=r"s\.nii: expected finite numbers, a voxel is nan"):
        read_labels(save(tmp_path / "s.nii", np.full(SHAPE, np.nan)), volume_at(tmp_path))


@pytest.mark.parametrize("label", [0, 1])
def test_masks_without_liver_or_without_tumour_are_accepted(tmp_path, label):
    mask = save(tmp_path / "s.nii", np.full(SHAPE, label, np.uint8))
    assert np.unique(read_labels(mask, volume_at(tmp_path))).tolist() == [label]


def test_truncated_mask_is_refused(tmp_path):
    mask = save(tmp_path / "s.nii.gz", labels_of())
    mask.write_bytes(mask.read_bytes()[:-1])
    with pytest.raises(LiverError, match=r"s\.nii\.gz: the gzip stream ends too early"):
        read_labels(mask, volume_at(tmp_path))


@pytest.mark.parametrize("name", ["m.nii", "m.nii.gz"])
def test_written_masks_are_read_back_and_equal_masks_are_equal_files(tmp_path, name, monkeypatch):
    volume = volume_at(tmp_path, AFFINES[17])
    labels = np.ascontiguousarray((volume.hu % 3).astype(np.uint8))
    write_labels(tmp_path / name, labels, volume.affine)
    first = (tmp_path / name).read_bytes()
    np.testing.assert_array_equal(read_labels(tmp_path / name, volume), labels)
    assert (first[:2] == b"\x1f\x8b") == name.endswith(".gz")
    monkeypatch.setattr("time.time", lambda: 1e9)
    write_labels(tmp_path / name, labels, volume.affine)
    assert (tmp_path / name).read_bytes() == first


def test_sheared_affine_is_not_written_as_a_qform(tmp_path):
    write_labels(tmp_path / "m.nii", labels_of(), oblique(0, 0, 0, shear=0.5))
    header = nib.load(tmp_path / "m.nii").header
    assert (int(header["sform_code"]), int(header["qform_code"])) == (1, 0)


def test_sform_and_qform_agree(tmp_path):
    write_labels(tmp_path / "m.nii", labels_of(), oblique(0.3, 0.2, 0.1))
    header = nib.load(tmp_path / "m.nii").header
    np.testing.assert_allclose(header.get_qform(), header.get_sform(), atol=1e-5)


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    write_labels(tmp_path / "m.nii.gz", labels_of(), LPS)
    before = (tmp_path / "m.nii.gz").read_bytes()

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("isal.igzip.IGzipFile.write", full)
    with pytest.raises(LiverError, match=r"m\.nii\.gz: cannot be written \(No space left on device\)"):
        write_labels(tmp_path / "m.nii.gz", labels_of(), LPS)
    assert [path.name for path in tmp_path.iterdir()] == ["m.nii.gz"]
    assert (tmp_path / "m.nii.gz").read_bytes() == before


def test_a_reader_of_the_old_mask_is_not_disturbed_by_the_new_one(tmp_path):
    write_labels(tmp_path / "m.nii", labels_of(), LPS)
    with (tmp_path / "m.nii").open("rb") as old:
        write_labels(tmp_path / "m.nii", np.zeros_like(labels_of()), LPS)
        assert max(old.read()[352:]) == 2
    assert max((tmp_path / "m.nii").read_bytes()[352:]) == 0


@pytest.mark.parametrize("name", ["nowhere/m.nii.gz", "m.nrrd", "file/m.nii"])
def test_an_invalid_folder_or_name_is_refused(tmp_path, name):
    (tmp_path / "file").touch()
    with pytest.raises(LiverError, match=name):
        write_labels(tmp_path / name, labels_of(), LPS)


@pytest.mark.slow
@pytest.mark.parametrize("affine", [LPS, affine_of((2, 0, 1), (-1, 1, -1))])
def test_peak_memory_stays_under_six_bytes_a_voxel_with_labels(tmp_path, affine):
    """2.5 GB for 512 x 512 x 1000 are 9.5 bytes a voxel, the interpreter included."""
    shape = (256, 256, 300)
    path = save(tmp_path / "v.nii.gz", numbers(shape, np.float64) % 1000, affine)
    mask = save(tmp_path / "s.nii.gz", labels_of(shape), affine)
    tracemalloc.start()
    read_labels(mask, read_volume(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 3 < peak / np.prod(shape) < 6


def real_pairs() -> list[tuple[Path, Path]]:
    root = Path(os.environ.get("LIVER_DATA", Path(__file__).parents[3] / "shared/data"))
    volumes = sorted(root.glob("*/volume-[013].nii.gz"))
    if not volumes:
        pytest.skip(f"no scans below {root}; set LIVER_DATA")
    pairs = [(path, path.with_name(path.name.replace("volume", "segmentation"))) for path in volumes]
    return [(volume, mask) for volume, mask in pairs if mask.exists()]


@pytest.mark.real
def test_real_scans_read_as_in_nibabel_and_their_masks_are_written_back_unchanged(tmp_path):
    for path, mask in real_pairs():
        volume = read_volume(path)
        np.testing.assert_array_equal(volume.hu, oracle(path))
        labels = read_labels(mask, volume)
        write_labels(tmp_path / "m.nii.gz", labels, volume.affine)
        written, given = nib.load(tmp_path / "m.nii.gz"), nib.load(mask)
        np.testing.assert_array_equal(np.asarray(written.dataobj), np.asarray(given.dataobj))
        np.testing.assert_allclose(written.affine, given.affine, atol=1e-4)
