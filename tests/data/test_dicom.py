from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from lightning_liver.data.dicom import read_series, series_folders
from lightning_liver.data.nifti import read_labels, write_labels
from lightning_liver.errors import LiverError
from lightning_liver.volume import from_canonical
from tests.data.dicom_files import STRAIGHT, write_multi_frame, write_series

SHAPE = (5, 6, 7)  # k, j, i
TURNED = ((0.0, 1.0, 0.0), (0.0, 0.0, -1.0))  # rows to the back, columns to the feet: sagittal slices
OBLIQUE = ((np.cos(0.2), np.sin(0.2), 0.0), (-np.sin(0.2), np.cos(0.2), 0.0))


def positions(along: Any = STRAIGHT, step_mm: float = 2.5, count: int = SHAPE[0]) -> np.ndarray:
    return np.array([(-100.0, -80.0, 30.0)]) + np.arange(count)[:, None] * step_mm * np.cross(*along)


def stored(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 3000, SHAPE)


@pytest.mark.parametrize("along", [STRAIGHT, OBLIQUE, TURNED], ids=["straight", "oblique", "sagittal"])
def test_every_voxel_lies_where_the_standard_puts_it(tmp_path: Path, along: Any) -> None:
    """PS3.3 C.7.6.2.1-1: P = position + i * column spacing * row direction + j * row spacing * column direction."""
    pixels = stored()
    names = [f"{name}.dcm" for name in ("d", "a", "e", "b", "c")]
    write_series(tmp_path, pixels, positions=positions(along), along=along, names=names)
    volume = read_series(tmp_path)
    write_labels(tmp_path / "mask.nii.gz", (volume.hu > 1000).astype(np.uint8), volume.affine)
    in_file = read_labels(tmp_path / "mask.nii.gz", volume)
    assert np.array_equal(in_file == 1, volume.hu > 1000)
    by_index = from_canonical(volume.hu, volume.affine)  # (k, j, i)
    rows, columns = (np.array(direction) for direction in along)
    for k, j, i in ((0, 0, 0), (3, 2, 5), (4, 5, 6)):
        lps = positions(along)[k] + i * 0.8 * rows + j * 0.7 * columns
        ras = volume.affine @ (i, j, k, 1)
        assert np.allclose(ras[:3], lps * (-1, -1, 1))
        assert by_index[k, j, i] == pixels[k, j, i] - 1024


def test_slices_come_from_the_feet_up_and_have_their_own_scale(tmp_path: Path) -> None:
    pixels = stored()
    write_series(tmp_path, pixels[::-1], positions=positions()[::-1], intercepts=[-1000, -1, -2, -3, -4])
    volume = read_series(tmp_path)
    assert volume.spacing_mm == pytest.approx((2.5, 0.7, 0.8))
    assert np.array_equal(volume.hu[0], pixels[0] - 4)
    assert np.array_equal(volume.hu[-1], pixels[-1] - 1000)


def test_a_multi_frame_file_is_the_series_that_it_holds(tmp_path: Path) -> None:
    pixels = stored()
    write_multi_frame(tmp_path / "one" / "all.dcm", pixels, positions=positions(), order=[3, 0, 4, 1, 2])
    write_series(tmp_path / "many", pixels, positions=positions())
    one, many = read_series(tmp_path / "one"), read_series(tmp_path / "many")
    assert np.array_equal(one.hu, many.hu)
    assert np.allclose(one.affine, many.affine)


def test_folders_of_series_are_found_and_other_files_ignored(tmp_path: Path) -> None:
    for name in ("b", "a"):
        write_series(tmp_path / name, stored(), positions=positions())
        (tmp_path / name / "notes.txt").write_text("not an image")
    (tmp_path / "empty").mkdir()
    assert series_folders(tmp_path) == [tmp_path / "a", tmp_path / "b"]
    assert series_folders(tmp_path / "a") == [tmp_path / "a"]
    assert read_series(tmp_path / "a").hu.shape == SHAPE


def tilted() -> np.ndarray:
    moved = positions()
    moved[:, 1] += 0.9 * np.arange(len(moved))
    return moved


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"positions": positions()[[0, 1, 2, 3, 3]]}, "two slices lie at"),
        (
            {"positions": positions(count=6)[[0, 1, 2, 4, 5]]},
            r"a slice may be missing: slices are 2.500 mm .* 5.000 mm",
        ),
        ({"positions": tilted()}, r"tilted by 19.8 degrees"),
        ({"Modality": "MR"}, "modality is MR"),
        ({"intercepts": [60000] * 5}, "no HU"),
    ],
)
def test_what_is_no_regular_ct_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    write_series(tmp_path, stored(), **({"positions": positions()} | changes))
    with pytest.raises(LiverError, match=message):
        read_series(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"PatientID": "B"}, r"2 patients in one folder: A \(5 files\), B \(1 files\)"),
        ({"SeriesInstanceUID": "1.2.3"}, "2 series in one folder"),
        ({"along": TURNED}, r"1 of 6 slices .* localizer has: other.dcm"),
    ],
)
def test_strangers_among_the_slices_are_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    write_series(tmp_path, stored(), positions=positions())
    write_series(tmp_path, stored()[:1], positions=positions() + 100, names=["other.dcm"], **changes)
    with pytest.raises(LiverError, match=message):
        read_series(tmp_path)


def test_files_without_a_place_or_pixels_are_named(tmp_path: Path) -> None:
    write_series(tmp_path, stored(), positions=positions())
    for keyword in ("PixelData", "ImagePositionPatient"):
        image = pydicom.dcmread(tmp_path / "2.dcm")
        delattr(image, keyword)
        image.save_as(tmp_path / "2.dcm")
        with pytest.raises(LiverError, match=r"2\.dcm"):
            read_series(tmp_path)
    with pytest.raises(LiverError, match="no DICOM images"):
        read_series(tmp_path.parent / tmp_path.name / "..")


def test_compressed_pixels_ask_for_the_package(tmp_path: Path) -> None:
    write_series(tmp_path, stored(), positions=positions())
    image = pydicom.dcmread(tmp_path / "0.dcm")
    image.file_meta.TransferSyntaxUID = pydicom.uid.JPEGLossless
    image.PixelData = pydicom.encaps.encapsulate([b"\xff\xd8\xff\xd9"])
    image["PixelData"].is_undefined_length = True
    image.save_as(tmp_path / "0.dcm")
    with pytest.raises(LiverError, match="pip install pylibjpeg"):
        read_series(tmp_path)
