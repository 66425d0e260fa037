"""Scans of a batch are found, and each has a name of its own."""

from pathlib import Path

import numpy as np
import pytest

from lightning_liver.errors import LiverError
from lightning_liver.imageio.scans import find_scans
from tests.imageio.dicom_files import SHAPE, write_series


def lay(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def masks(path: Path) -> dict[str, str]:
    return {str(scan.path): scan.mask for scan in find_scans(path)}


@pytest.mark.parametrize("typed", [".", "../patient-7", "./"])
def test_a_series_is_named_as_its_folder_however_that_is_typed(tmp_path, monkeypatch, typed):
    write_series(tmp_path / "patient-7", np.full(SHAPE, 1000, np.uint16))
    monkeypatch.chdir(tmp_path / "patient-7")
    assert list(masks(Path(typed)).values()) == ["patient-7-segmentation.nii.gz"]


def test_scans_of_one_name_are_named_by_their_paths_below_the_input(tmp_path):
    lay(tmp_path, "s1/ct.nii.gz", "s2/ct.nii.gz", "s2/late.nii.gz", "a/volume-3.nii", "b/volume-3.nii", "volume-4.nii")
    for folder in ("x/portal", "y/portal"):
        write_series(tmp_path / folder, np.full(SHAPE, 1000, np.uint16))
    found = {Path(path).relative_to(tmp_path).as_posix(): mask for path, mask in masks(tmp_path).items()}
    assert found == {
        "s1/ct.nii.gz": "s1-ct-segmentation.nii.gz",
        "s2/ct.nii.gz": "s2-ct-segmentation.nii.gz",
        "s2/late.nii.gz": "late-segmentation.nii.gz",
        "a/volume-3.nii": "a-volume-3-segmentation.nii.gz",
        "b/volume-3.nii": "b-volume-3-segmentation.nii.gz",
        "volume-4.nii": "segmentation-4.nii.gz",
        "x/portal": "x-portal-segmentation.nii.gz",
        "y/portal": "y-portal-segmentation.nii.gz",
    }


@pytest.mark.parametrize(
    "names", [("ct.nii", "ct.nii.gz"), ("a/b/ct.nii", "a-b/ct.nii"), ("s1/ct.nii", "s1/CT.nii.gz")]
)
def test_scans_that_even_their_paths_do_not_tell_apart_are_refused(tmp_path, names):
    with pytest.raises(LiverError, match=r"ct\.nii.* would all have the mask"):
        find_scans(lay(tmp_path, *names))


def test_capital_endings_count(tmp_path):
    lay(tmp_path, "A.NII.GZ", "B.Nii")
    assert list(masks(tmp_path).values()) == ["A-segmentation.nii.gz", "B-segmentation.nii.gz"]
    assert masks(tmp_path / "A.NII.GZ") == {str(tmp_path / "A.NII.GZ"): "A-segmentation.nii.gz"}
