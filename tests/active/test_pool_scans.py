"""Scans and masks of a pool."""

from pathlib import Path

from lightning_liver.active.pool_scans import mask_beside, scans_of_pool
from tests.conftest import write_scan


def test_scans_of_one_name_have_the_masks_of_their_own_folders(tmp_path: Path) -> None:
    for folder in ("p1", "p2"):
        write_scan(tmp_path / folder, 3, shape=(4, 20, 24))
    scans = scans_of_pool(tmp_path, tmp_path / "loop")
    assert {scan.name: mask_beside(scan, tmp_path) for scan in scans} == {
        f"{folder}-volume-3": tmp_path / folder / "segmentation-3.nii.gz" for folder in ("p1", "p2")
    }


def test_copies_in_workspaces_below_the_pool_are_no_scans_of_it(tmp_path: Path) -> None:
    for folder in ("", "own/studies", "other/studies"):
        write_scan(tmp_path / folder, 3, shape=(4, 20, 24))
    (tmp_path / "other" / "workspace.json").write_text("{}")
    [scan] = scans_of_pool(tmp_path, tmp_path / "own")
    assert scan.path == tmp_path / "volume-3.nii.gz"
