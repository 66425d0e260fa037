"""A patient planted on both sides of a split: found by liver-audit, and told again by training."""

import csv
from pathlib import Path

import numpy as np
import pytest

from lightning_liver.data.phantom import cases
from lightning_liver.imageio.nifti import read_labels, read_volume, write_labels, write_volume
from lightning_liver.volume import Volume
from tests.apps.commands import SMALL, call

SPLIT = "data.split={train:[300,301,302],val:[303],test:[304,309]}"


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """A folder with five phantoms, 300 to 304, and a part of 301 under the name 309."""
    drawn = cases(tmp_path / "drawn", count=5, seed=5, matrix=128, tumour_fraction=0.012, version=2, workers=0)
    folder = tmp_path / "scans"
    folder.mkdir()
    for case in drawn:
        volume = read_volume(case.volume)
        assert case.labels is not None
        labels = read_labels(case.labels, volume)
        write(folder, 300 + int(case.name), volume, labels)
        if case.name == "1":
            used = np.flatnonzero(labels.any(axis=(1, 2)))
            part = slice(max(int(used[0]) - 2, 0), int(used[-1]) + 3)
            write(folder, 309, Volume(np.minimum(volume.hu[part], 400), volume.spacing_mm, volume.affine), labels[part])
    return folder


def write(folder: Path, number: int, volume: Volume, labels: np.ndarray) -> None:
    write_volume(folder / f"volume-{number}.nii.gz", volume)
    write_labels(folder / f"segmentation-{number}.nii.gz", labels, volume.affine)


@pytest.mark.slow
def test_a_part_of_a_training_scan_among_the_test_scans_is_a_leak(
    planted: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = ("data=lits", f"data.root={planted}", "data.workers=0")
    code, output = call("audit", *data, SPLIT, "output=made", folder=tmp_path, capfd=capfd)
    assert code == 0, output
    rows = list(csv.DictReader((tmp_path / "made" / "audit.csv").open()))
    [leak] = [row for row in rows if row["kind"] == "leak"]
    assert leak["cases"] == "301 309"
    assert leak["text"].startswith("data.split: 301 trains, 309 tests")
    assert [row["cases"] for row in rows if row["kind"] in ("same_scan", "overlap", "same_patient")] == ["301 309"]
    run = [f"data.root={planted}", *SMALL, SPLIT, "hydra.run.dir=run", "trainer.max_epochs=1"]
    code, output = call("train", *run, folder=tmp_path, capfd=capfd)
    assert code == 0, output
    assert "301 (train) and 309 (test)" in output
    code, output = call("audit", *data, "run=run", "output=again", folder=tmp_path, capfd=capfd)
    assert code == 0, output
    assert "Leaks of the split: 301 and 309: run: 301 trains, 309 tests" in output
    patients = f"data.patients={tmp_path / 'made' / 'patients.csv'}"
    code, output = call("audit", *data, patients, "data.folds=3", "output=kept", folder=tmp_path, capfd=capfd)
    assert code == 0, output
    rows = list(csv.DictReader((tmp_path / "kept" / "audit.csv").open()))
    assert not [row for row in rows if row["kind"] == "leak"], "the draft keeps both scans in one part"
