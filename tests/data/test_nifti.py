import errno
import gzip
import itertools
import os
import subprocess
import sys
import warnings
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nibabel.affines import from_matvec, voxel_sizes
from nibabel.eulerangles import euler2mat
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

from lightning_liver.data import nifti_geometry as geometry
from lightning_liver.data.nifti import read_header, read_labels, read_volume, write_labels
from lightning_liver.errors import LiverError, LiverWarning
from lightning_liver.volume import Volume

SHAPE = (5, 6, 7)  # i, j, k: unequal, so that no transpose goes unseen
SPACING_MM = (0.7, 0.8, 2.5)
LPS = np.diag([-0.7, -0.8, 2.5, 1.0])
UNIT = np.eye(4)
ORIENTATIONS = list(itertools.product(itertools.permutations(range(3)), itertools.product((1, -1), repeat=3)))


def affine_of(order: tuple[int, ...], signs: tuple[int, ...]) -> np.ndarray:
    """Axis n of the file runs along axis order[n] of the body, in the direction of signs[n]."""
    linear = np.zeros((3, 3))
    linear[list(order), range(3)] = np.multiply(signs, SPACING_MM)
    return from_matvec(linear, (11, -22, 33))


def oblique(x: float, y: float, z: float, shear: float = 0.0) -> np.ndarray:
    sheared = np.eye(3) + shear * np.eye(3, k=1)
    return from_matvec(euler2mat(z, y, x) @ sheared @ np.diag(SPACING_MM), (11, -22, 33))


AFFINES = [affine_of(*orientation) for orientation in ORIENTATIONS] + [
    oblique(0.1, 0.2, 0.3),
    oblique(3.0, -0.4, 2.9),
    oblique(-0.6, 0.5, -1.7),
    oblique(0.0, 0.0, 0.0, shear=0.5),  # a tilted gantry
]


def numbers(shape=SHAPE, dtype=np.int16) -> np.ndarray:
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


def labels_of(shape=SHAPE) -> np.ndarray:
    return (numbers(shape) % 3).astype(np.uint8)


def save(path: Path, voxels: np.ndarray, affine=LPS, *, kind=nib.Nifti1Header, endianness="<", **fields) -> Path:
    """A NIfTI file whose header says anything, past nibabel's checks; pixdim is given as its three spacings."""
    header = kind(endianness=endianness)
    header.set_data_dtype(voxels.dtype)
    header.set_data_shape(voxels.shape)
    header.set_qform(affine, "scanner")
    header.set_sform(affine, "scanner")
    header.set_slope_inter(1, 0)
    header["vox_offset"] = header.single_vox_offset
    for name, value in fields.items():
        header[name][slice(1, 4) if name == "pixdim" else ...] = value
    stored = voxels.astype(voxels.dtype.newbyteorder(endianness)).tobytes("F")
    content = header.binaryblock + bytes(4) + stored
    path.write_bytes(gzip.compress(content, 1) if path.name.endswith(".gz") else content)
    return path


def volume_at(folder: Path, affine=LPS, shape=SHAPE, **fields) -> Volume:
    return read_volume(save(folder / "volume-1.nii", numbers(shape), affine, **fields))


def oracle(path: Path) -> np.ndarray:
    """LPS (z, y, x) by nibabel alone."""
    ras = nib.as_closest_canonical(nib.load(path))
    return np.asarray(ras.dataobj)[::-1, ::-1].transpose(2, 1, 0)


@pytest.mark.parametrize("affine", AFFINES)
def test_every_orientation_reads_as_nibabel_sees_it(tmp_path, affine):
    path = save(tmp_path / "v.nii", numbers(), affine)
    volume = read_volume(path)
    expected = nib.as_closest_canonical(nib.load(path))
    np.testing.assert_array_equal(volume.hu, oracle(path))
    np.testing.assert_allclose(volume.spacing_mm, voxel_sizes(expected.affine)[::-1], rtol=1e-6)
    assert volume.hu.flags.c_contiguous


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


def test_header_tells_what_reading_will_give(tmp_path):
    path = save(tmp_path / "v.nii.gz", numbers(), affine_of((2, 0, 1), (-1, 1, -1)))
    header, volume = read_header(path), read_volume(path)
    assert (header.shape, header.spacing_mm, header.voxels) == (volume.hu.shape, volume.spacing_mm, volume.hu.size)
    assert header.dtype == np.int16
    np.testing.assert_array_equal(header.affine, volume.affine)


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"])
@pytest.mark.parametrize("kind", [nib.Nifti1Header, nib.Nifti2Header])
@pytest.mark.parametrize("endianness", ["<", ">"])
def test_every_real_type_and_byte_order_reads_as_nibabel_reads_it(tmp_path, dtype, kind, endianness):
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
def test_gzip_is_known_by_its_bytes_not_by_the_name(tmp_path, name):
    other = save(tmp_path / {"v.nii": "other.nii.gz", "v.nii.gz": "other.nii"}[name], numbers())
    np.testing.assert_array_equal(read_volume(other.rename(tmp_path / name)).hu, volume_at(tmp_path).hu)


def test_voxels_are_read_in_slabs_whatever_the_slowest_axis(tmp_path, monkeypatch):
    monkeypatch.setattr("lightning_liver.data.nifti._SLAB", 37)
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


# bad files


def refused(path: Path, match: str) -> None:
    with pytest.raises(LiverError, match=match) as caught:
        read_volume(path)
    assert str(path) in str(caught.value)


def test_missing_file_is_refused(tmp_path):
    refused(tmp_path / "v.nii.gz", "No such file")


def test_folder_in_place_of_a_file_is_refused(tmp_path):
    refused(tmp_path, "Is a directory")


@pytest.mark.parametrize("content", [b"", gzip.compress(b"")])
def test_empty_file_is_refused(tmp_path, content):
    (tmp_path / "v.nii.gz").write_bytes(content)
    refused(tmp_path / "v.nii.gz", "empty")


@pytest.mark.parametrize("content", [b"<!DOCTYPE html>", b"x" * 1000, gzip.compress(b"x" * 1000), b"\x5c\x01\0\0"])
def test_what_is_not_a_nifti_is_refused(tmp_path, content):
    (tmp_path / "v.nii").write_bytes(content)
    refused(tmp_path / "v.nii", "not a NIfTI")


def test_truncated_gzip_is_refused(tmp_path):
    path = save(tmp_path / "v.nii.gz", numbers((20, 30, 40)))
    whole = path.read_bytes()
    for length in (12, len(whole) // 2, len(whole) - 9, len(whole) - 1):
        path.write_bytes(whole[:length])
        refused(path, "ends too early")


def test_corrupt_gzip_is_refused_even_if_only_the_checksum_tells(tmp_path):
    path = save(tmp_path / "v.nii.gz", numbers((20, 30, 40)))
    whole = path.read_bytes()
    for place in (len(whole) // 2, len(whole) - 6):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        refused(path, "corrupt gzip data|ends too early")


@pytest.mark.parametrize("name", ["v.nii", "v.nii.gz"])
def test_header_that_promises_more_than_the_file_holds_is_refused_with_both_numbers(tmp_path, name):
    path = save(tmp_path / name, numbers(), dim=[3, 5, 6, 8, 1, 1, 1, 1])
    refused(path, r"promises 480 bytes of voxels \(5 x 6 x 8, int16\), the file holds 420")


@pytest.mark.parametrize("name", ["v.nii", "v.nii.gz"])
def test_header_that_promises_terabytes_is_refused_before_memory_is_asked_for(tmp_path, name, monkeypatch):
    monkeypatch.setattr("numpy.empty", lambda *_: pytest.fail("memory was asked for"))
    path = save(tmp_path / name, numbers(), dim=[3, 30000, 30000, 30000, 1, 1, 1, 1])
    refused(path, "promises 54000000000000 bytes")


@pytest.mark.parametrize(
    ("dim", "message"),
    [
        ([3, 5, 0, 7, 1, 1, 1, 1], r"without voxels \(5 x 0 x 7\)"),
        ([3, 5, -6, 7, 1, 1, 1, 1], r"without voxels"),
        ([4, 5, 6, 1, 7, 1, 1, 1], r"4-D \(5 x 6 x 1 x 7\)"),
        ([2, 5, 6, 1, 1, 1, 1, 1], r"2-D \(5 x 6\)"),
        ([0, 5, 6, 7, 1, 1, 1, 1], "0 dimensions"),
    ],
)
def test_shapes_that_are_no_volume_are_refused(tmp_path, dim, message):
    refused(save(tmp_path / "v.nii", numbers(), dim=dim), message)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_one_voxel_that_is_not_finite_is_refused(tmp_path, value):
    voxels = numbers(dtype=np.float32)
    voxels[2, 3, 4] = value
    refused(save(tmp_path / "v.nii", voxels), f"a voxel is {value}")


def test_scaling_that_overflows_is_refused(tmp_path):
    refused(save(tmp_path / "v.nii", np.full(SHAPE, 1e300), scl_slope=1e30), "a voxel is inf")


@pytest.mark.parametrize("code", [32, 128, 1792, 2304, 999])
def test_complex_colour_and_unknown_types_are_refused(tmp_path, code):
    refused(save(tmp_path / "v.nii", numbers(), datatype=code), "type")


@pytest.mark.parametrize("name", ["v.img", "v.hdr", "v.hdr.gz"])
def test_pairs_are_refused_by_name(tmp_path, name):
    refused(save(tmp_path / name, numbers()), "pairs are not read")


def test_pairs_are_refused_by_content(tmp_path):
    refused(save(tmp_path / "v.nii", numbers(), magic=b"ni1"), "pair")


@pytest.mark.parametrize("offset", [100, -1, np.nan, np.inf])
def test_voxels_that_start_inside_the_header_or_nowhere_are_refused(tmp_path, offset):
    refused(save(tmp_path / "v.nii", numbers(), vox_offset=offset), "said to start")


def test_intercept_that_is_not_finite_is_refused(tmp_path):
    refused(save(tmp_path / "v.nii", numbers(), scl_inter=np.inf), "scl_inter")


def test_no_memory_is_a_message(tmp_path, monkeypatch):
    def no_room(*_):
        raise MemoryError

    path = save(tmp_path / "v.nii", numbers())
    monkeypatch.setattr("numpy.empty", no_room)
    refused(path, "do not fit into memory")


@settings(deadline=None, max_examples=150)
@given(st.lists(st.tuples(st.integers(0, 1200), st.integers(0, 255)), min_size=1, max_size=8), st.booleans())
def test_any_damage_is_read_or_refused_but_never_a_crash(tmp_path_factory, changes, zipped):
    path = save(tmp_path_factory.mktemp("v") / ("v.nii.gz" if zipped else "v.nii"), numbers())
    damaged = bytearray(path.read_bytes())
    for place, value in changes:
        damaged[place % len(damaged)] = value
    path.write_bytes(damaged)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LiverWarning)
        try:
            volume = read_volume(path)
        except LiverError:
            return
    assert volume.hu.dtype == np.int16
    assert min(volume.spacing_mm) > 0


# geometry


@pytest.mark.parametrize("spacing", [(0.7, 0, 2.5), (0.7, -0.8, 2.5), (0.7, np.nan, 2.5), (0.7, np.inf, 2.5)])
def test_spacing_that_cannot_be_is_refused(tmp_path, spacing):
    refused(save(tmp_path / "v.nii", numbers(), pixdim=spacing), "spacing")


@pytest.mark.parametrize("row", [[0, 0, 0, 5], [-0.7, 0, 0, 5], [np.nan, 0, 2.5, 0], [0, 0, 2.5, np.inf]])
def test_affine_that_is_singular_or_not_finite_is_refused(tmp_path, row):
    refused(save(tmp_path / "v.nii", numbers(), srow_z=row), "singular or not finite")


def test_qform_without_a_rotation_is_refused(tmp_path):
    refused(save(tmp_path / "v.nii", numbers(), sform_code=0, qform_code=1, quatern_b=3), "qform gives no rotation")


def test_qform_counts_where_there_is_no_sform(tmp_path):
    path = save(tmp_path / "v.nii", numbers(), oblique(0.3, 0.2, 0.1), sform_code=0, srow_x=0)
    np.testing.assert_allclose(read_volume(path).affine, oblique(0.3, 0.2, 0.1), atol=1e-5)


def test_qfac_of_zero_means_one(tmp_path):
    path = save(tmp_path / "v.nii", numbers(), np.diag([*SPACING_MM, 1]), sform_code=0)
    block = bytearray(path.read_bytes())
    block[76:80] = bytes(4)
    path.write_bytes(block)
    np.testing.assert_allclose(read_volume(path).affine, nib.load(path).affine)


def test_pixdim_counts_where_there_is_neither_sform_nor_qform(tmp_path):
    path = save(tmp_path / "v.nii", numbers(), sform_code=0, qform_code=0, pixdim=SPACING_MM)
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.affine, nib.load(path).affine)
    assert volume.spacing_mm == pytest.approx(SPACING_MM[::-1])


def test_identity_affine_with_good_pixdim_takes_pixdim_with_one_warning(tmp_path):
    with pytest.warns(LiverWarning, match=f"volume-1.nii: {geometry.PIXDIM_TRUSTED}$") as seen:
        volume = volume_at(tmp_path, UNIT, pixdim=SPACING_MM)
    assert len(seen) == 1
    assert seen[0].filename == __file__  # the caller's line, not ours
    np.testing.assert_allclose(volume.affine, np.diag([*SPACING_MM, 1]), rtol=1e-6)
    assert volume.spacing_mm == pytest.approx(SPACING_MM[::-1])


def test_mirrored_identity_with_good_pixdim_keeps_its_directions(tmp_path):
    with pytest.warns(LiverWarning, match=geometry.PIXDIM_TRUSTED):
        volume = volume_at(tmp_path, np.diag([-1, -1, 1, 1]), pixdim=SPACING_MM)
    np.testing.assert_allclose(volume.affine, np.diag([-0.7, -0.8, 2.5, 1]), rtol=1e-6)


def test_isotropic_millimetre_volume_is_nothing_to_warn_about(tmp_path):
    assert volume_at(tmp_path, UNIT).spacing_mm == (1, 1, 1)


@pytest.mark.parametrize(("factor", "warned"), [(1.009, False), (1.02, True)])
def test_affine_wins_over_another_pixdim_with_a_warning_beyond_one_percent(tmp_path, factor, warned):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        volume = volume_at(tmp_path, LPS, pixdim=np.multiply(SPACING_MM, [1, factor, 1]))
    assert [geometry.PIXDIM_DISAGREES in str(w.message) for w in seen] == [True] * warned
    assert volume.spacing_mm == pytest.approx(SPACING_MM[::-1])


def test_reading_a_header_is_quiet(tmp_path):
    path = save(tmp_path / "v.nii", numbers(), UNIT, pixdim=SPACING_MM)
    assert read_header(path).spacing_mm == pytest.approx(SPACING_MM[::-1])


# masks


def canonical_labels(affine: np.ndarray, folder: Path) -> np.ndarray:
    return oracle(save(folder / "oracle.nii", labels_of(), affine))


def test_mask_of_another_shape_is_refused_with_both(tmp_path):
    with pytest.raises(LiverError, match=r"s\.nii: the mask has 7 x 6 x 5 voxels, its volume 5 x 6 x 7"):
        read_labels(save(tmp_path / "s.nii", labels_of(SHAPE[::-1])), volume_at(tmp_path))


@pytest.mark.parametrize("affine", [LPS, affine_of((2, 0, 1), (-1, 1, -1))])
def test_mask_of_another_spacing_is_refused_with_both(tmp_path, affine):
    other = affine @ np.diag([1, 1, 2.53 / 2.5, 1])
    with pytest.raises(LiverError, match=r"spacing is 0\.7 x 0\.8 x 2\.53 mm, its volume's 0\.7 x 0\.8 x 2\.5 mm"):
        read_labels(save(tmp_path / "s.nii", labels_of(), other), volume_at(tmp_path, affine))


def test_mask_spacing_off_by_a_hundredth_is_accepted(tmp_path):
    mask = save(tmp_path / "s.nii", labels_of(), LPS @ np.diag([1, 1, 2.509 / 2.5, 1]))
    np.testing.assert_array_equal(read_labels(mask, volume_at(tmp_path)), canonical_labels(LPS, tmp_path))


@pytest.mark.parametrize("signs", list(itertools.product((1, -1), repeat=3)))
def test_mask_whose_header_says_nothing_takes_the_volumes_with_one_warning(tmp_path, signs):
    volume = volume_at(tmp_path)
    mask = save(tmp_path / "s.nii", labels_of(), np.diag([*signs, 1]))
    with pytest.warns(LiverWarning, match=f"s.nii: {geometry.MASK_SAYS_NOTHING}$") as seen:
        labels = read_labels(mask, volume)
    assert len(seen) == 1
    assert seen[0].filename == __file__
    np.testing.assert_array_equal(labels, canonical_labels(LPS, tmp_path))


def test_mask_with_an_unusable_header_takes_the_volumes_with_a_warning(tmp_path):
    mask = save(tmp_path / "s.nii", labels_of(), pixdim=0, sform_code=0)
    with pytest.warns(LiverWarning, match=geometry.MASK_SAYS_NOTHING):
        labels = read_labels(mask, volume_at(tmp_path))
    np.testing.assert_array_equal(labels, canonical_labels(LPS, tmp_path))


def test_mask_of_an_isotropic_millimetre_volume_is_nothing_to_warn_about(tmp_path):
    mask = save(tmp_path / "s.nii", labels_of(), UNIT)
    np.testing.assert_array_equal(read_labels(mask, volume_at(tmp_path, UNIT)), canonical_labels(UNIT, tmp_path))


def test_mask_and_volume_with_the_same_identity_and_pixdim_need_one_warning(tmp_path):
    with pytest.warns(LiverWarning, match=geometry.PIXDIM_TRUSTED):
        volume = volume_at(tmp_path, UNIT, pixdim=SPACING_MM)
    labels = read_labels(save(tmp_path / "s.nii", labels_of(), UNIT, pixdim=SPACING_MM), volume)
    np.testing.assert_array_equal(labels, canonical_labels(UNIT, tmp_path))


@pytest.mark.parametrize(
    ("volume_affine", "mask_affine"), [(LPS, LPS * [-1, -1, 1, 1]), (UNIT, np.diag([-1, -1, 1, 1]))]
)
def test_mask_of_another_orientation_goes_by_the_volumes_with_a_warning(tmp_path, volume_affine, mask_affine):
    volume = volume_at(tmp_path, volume_affine)
    mask = save(tmp_path / "s.nii", labels_of(), mask_affine)
    with pytest.warns(LiverWarning, match=f"s.nii: {geometry.MASK_ORIENTED_OTHERWISE}$"):
        labels = read_labels(mask, volume)
    np.testing.assert_array_equal(labels, canonical_labels(volume_affine, tmp_path))


def test_labels_beyond_two_are_refused_and_up_to_eight_are_listed(tmp_path):
    voxels = labels_of()
    voxels[0, 0] = [2, 3, 4, 255, 1, 0, 2]
    with pytest.raises(LiverError, match=r"s\.nii: .* also has 3, 4, 255; map them"):
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


def test_scaled_labels_are_unscaled_before_they_are_judged(tmp_path):
    mask = save(tmp_path / "s.nii", labels_of() * 100, scl_slope=0.01)
    with pytest.raises(LiverError, match="interpolation"):  # 0.01 in float32 gives 0.99999998
        read_labels(mask, volume_at(tmp_path))
    mask = save(tmp_path / "s.nii", labels_of() * 64, scl_slope=1 / 64)
    np.testing.assert_array_equal(read_labels(mask, volume_at(tmp_path)), canonical_labels(LPS, tmp_path))


def test_interpolated_labels_are_refused(tmp_path):
    with pytest.raises(LiverError, match=r"also has 0\.5, 1\.5; resample the mask by nearest neighbour"):
        read_labels(save(tmp_path / "s.nii", (numbers() % 4) / 2.0), volume_at(tmp_path))


def test_labels_that_are_not_finite_are_refused(tmp_path):
    with pytest.raises(LiverError, match=r"s\.nii: a voxel is nan"):
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


# writing


@pytest.mark.parametrize("name", ["m.nii", "m.nii.gz"])
def test_written_masks_are_read_back_and_equal_masks_are_equal_files(tmp_path, name):
    volume = volume_at(tmp_path, AFFINES[17])
    labels = np.ascontiguousarray((volume.hu % 3).astype(np.uint8))
    write_labels(tmp_path / name, labels, volume.affine)
    first = (tmp_path / name).read_bytes()
    np.testing.assert_array_equal(read_labels(tmp_path / name, volume), labels)
    assert (first[:2] == b"\x1f\x8b") == name.endswith(".gz")
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


@pytest.mark.parametrize("name", ["nowhere/m.nii.gz", "m.nrrd", "file/m.nii"])
def test_a_place_or_name_that_cannot_be_is_refused(tmp_path, name):
    (tmp_path / "file").touch()
    with pytest.raises(LiverError, match=name):
        write_labels(tmp_path / name, labels_of(), LPS)


# memory, real scans

MEASURE = """
import resource, sys
from pathlib import Path
from lightning_liver.data.nifti import read_labels, read_volume
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
labels = read_labels(Path(sys.argv[2]), read_volume(Path(sys.argv[1])))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / labels.size)
"""


@pytest.mark.slow
@pytest.mark.parametrize("affine", [LPS, affine_of((2, 0, 1), (-1, 1, -1))])
def test_peak_memory_stays_under_eight_bytes_a_voxel_with_labels(tmp_path, affine):
    """2.5 GB for 512 x 512 x 1000 are 9.5 bytes a voxel, the interpreter included."""
    shape = (256, 256, 300)
    volume = save(tmp_path / "v.nii.gz", numbers(shape, np.float64) % 1000, affine)
    mask = save(tmp_path / "s.nii.gz", labels_of(shape), affine)
    command = [sys.executable, "-c", MEASURE, str(volume), str(mask)]
    assert float(subprocess.run(command, check=True, capture_output=True, text=True).stdout) < 8


def real_pairs() -> list[tuple[Path, Path]]:
    root = Path(os.environ.get("LIVER_DATA", Path(__file__).parents[3] / "shared/data"))
    volumes = sorted(root.glob("*/volume-[013].nii.gz"))
    if not volumes:
        pytest.skip(f"no scans below {root}; set LIVER_DATA")
    pairs = [(path, path.with_name(path.name.replace("volume", "segmentation"))) for path in volumes]
    return [(volume, mask) for volume, mask in pairs if mask.exists()]


@pytest.mark.real
def test_real_scans_read_as_nibabel_reads_them_and_their_masks_go_back_unchanged(tmp_path):
    for path, mask in real_pairs():
        volume = read_volume(path)
        np.testing.assert_array_equal(volume.hu, oracle(path))
        labels = read_labels(mask, volume)
        write_labels(tmp_path / "m.nii.gz", labels, volume.affine)
        written, given = nib.load(tmp_path / "m.nii.gz"), nib.load(mask)
        np.testing.assert_array_equal(np.asarray(written.dataobj), np.asarray(given.dataobj))
        np.testing.assert_allclose(written.affine, given.affine, atol=1e-4)
