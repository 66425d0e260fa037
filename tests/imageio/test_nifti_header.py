import gzip
import tracemalloc
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_liver.errors import LiverError, LiverWarning
from lightning_liver.imageio.nifti import read_volume
from tests.imageio.nifti_files import SHAPE, numbers, refused, save


def test_missing_file_is_refused(tmp_path):
    refused(tmp_path / "v.nii.gz", "No such file")


def test_folder_in_place_of_a_file_is_refused(tmp_path):
    refused(tmp_path, "Is a directory")


@pytest.mark.parametrize("content", [b"", gzip.compress(b"", mtime=0)])
def test_empty_file_is_refused(tmp_path, content):
    (tmp_path / "v.nii.gz").write_bytes(content)
    refused(tmp_path / "v.nii.gz", "empty")


@pytest.mark.parametrize(
    "content", [b"<!DOCTYPE html>", b"x" * 1000, gzip.compress(b"x" * 1000, mtime=0), b"\x5c\x01\0\0"]
)
def test_a_file_that_is_no_nifti_is_refused(tmp_path, content):
    (tmp_path / "v.nii").write_bytes(content)
    refused(tmp_path / "v.nii", "not a NIfTI")


def test_truncated_gzip_is_refused(tmp_path):
    path = save(tmp_path / "v.nii.gz", numbers((20, 30, 40)))
    whole = path.read_bytes()
    for length in (12, len(whole) // 2, len(whole) - 9, len(whole) - 1):
        path.write_bytes(whole[:length])
        refused(path, "ends too early")


def test_corrupt_gzip_is_refused_even_if_only_the_checksum_differs(tmp_path):
    path = save(tmp_path / "v.nii.gz", numbers((20, 30, 40)))
    whole = path.read_bytes()
    for place in (len(whole) // 2, len(whole) - 6):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        refused(path, "corrupt gzip data|ends too early")


def test_damage_behind_the_voxels_is_refused_since_one_checksum_covers_all(tmp_path):
    path = save(tmp_path / "v.nii.gz", numbers((20, 30, 40)), dim=[3, 20, 30, 1, 1, 1, 1, 1])
    assert read_volume(path).hu.shape == (1, 30, 20)
    path.write_bytes(path.read_bytes()[:-1])
    refused(path, "ends too early")


@pytest.mark.parametrize("name", ["v.nii", "v.nii.gz"])
def test_header_that_promises_more_than_the_file_holds_is_refused_with_both_numbers(tmp_path, name):
    path = save(tmp_path / name, numbers(), dim=[3, 5, 6, 8, 1, 1, 1, 1])
    refused(path, r"promises 480 bytes of voxels \(5 x 6 x 8, int16\), the file holds 420")


@pytest.mark.parametrize("name", ["v.nii", "v.nii.gz"])
def test_header_that_promises_terabytes_is_refused_before_allocating_memory(tmp_path, name, monkeypatch):
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
def test_shapes_other_than_3d_are_refused(tmp_path, dim, message):
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


def promising(path, shape, *, held, zipped=True):
    """Write an int16 header of this shape, and as many bytes as a file of it can have on the disk."""
    save(path.with_suffix(".small"), numbers())
    block = bytearray(path.with_suffix(".small").read_bytes()[:352])
    block[42:48] = np.array(shape, "<i2").tobytes()
    start = gzip.compress(bytes(block)) if zipped else bytes(block)
    path.write_bytes(start)
    with path.open("r+b") as file:
        file.truncate(held)  # the rest has no blocks on the disk
    return path


@pytest.mark.parametrize("shape", [(1024, 1024, 1000), (32767, 32767, 1)])
def test_more_voxels_than_are_read_are_refused_before_memory_is_taken(tmp_path, shape):
    path = promising(tmp_path / "v.nii", shape, held=352 + 2 * shape[0] * shape[1] * shape[2], zipped=False)
    refused(path, "at most 900,000,000 are read; cut the scan")


def test_slices_of_more_pixels_than_are_read_are_refused(tmp_path):
    path = promising(tmp_path / "v.nii", (8192, 8192, 2), held=352 + 2 * 2 * 8192**2, zipped=False)
    refused(path, "slices of 2 x 8192 x 8192 pixels, at most 16,777,216 are read")


def test_a_small_file_that_unpacks_to_a_large_scan_is_refused_before_memory_is_taken(tmp_path):
    """1.5 MB that become 1.5 GB: only voxels that are nearly all equal are packed so."""
    path = promising(tmp_path / "v.nii.gz", (512, 512, 2900), held=1_500_000)
    tracemalloc.start()
    refused(path, "1500000 bytes for 1520435200 bytes of voxels, which are nearly all equal")
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()


def test_a_stream_that_goes_on_after_its_voxels_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("lightning_liver.imageio.nifti_header.MOST_BESIDE", 1 << 21)
    plain = save(tmp_path / "v.nii", numbers()).read_bytes()
    path = tmp_path / "v.nii.gz"
    path.write_bytes(gzip.compress(plain + bytes(1 << 20)))
    read_volume(path)
    path.write_bytes(gzip.compress(plain + bytes(1 << 23)))
    refused(path, "more than 2097152 bytes follow the voxels")


def test_intercept_that_is_not_finite_is_refused(tmp_path):
    refused(save(tmp_path / "v.nii", numbers(), scl_inter=np.inf), "scl_inter")


def test_lack_of_memory_is_a_message(tmp_path, monkeypatch):
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
