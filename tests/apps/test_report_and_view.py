"""liver-report and liver-view, and the report that a training leaves."""

import csv
import gzip
import json
import re
import shutil
import signal
import urllib.request
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from lightning_liver.report.viewer import pages
from tests.apps.commands import call, called, small_run, start
from tests.conftest import write_scan


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with scans, their store, and a complete run with its report in `run`."""
    folder = tmp_path_factory.mktemp("reported")
    for number in range(20, 25):
        write_scan(folder / "scans", number)
    own_grid = "data.spacing_mm=null"  # what is looked at is what was seen
    arguments = small_run(folder / "scans", "run", "report=true", own_grid, f"data.store={folder / 'store'}")
    assert called("train", *arguments, folder=folder) == 0
    return folder


def test_training_leaves_a_report_before_it_is_complete(place: Path) -> None:
    run = place / "run"
    text = (run / "report.html").read_text()
    metrics = json.loads((run / "metrics.json").read_text())
    assert f"{metrics['test/liver/dice_per_case']:.3f}" in text
    assert "data.slices_per_epoch" in text
    assert "too few patients" in text
    assert (run / "report.html").stat().st_mtime_ns <= (run / "metrics.json").stat().st_mtime_ns
    assert json.loads((run / "differs.json").read_text())["options"]["model.depth"] == [4, 2]
    assert json.loads((run / "environment.json").read_text())["python"]
    rows = list(csv.DictReader((run / "data.csv").open()))
    assert {row["case"] for row in rows} == {"20", "21", "22", "23", "24"}
    assert {(row["slices"], row["rows"], row["columns"], row["slice_mm"], row["pixel_mm"]) for row in rows} == {
        ("12", "40", "48", "3.0", "1.5")
    }


def test_methods_of_a_run_are_printed(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code, output = call("report", "run=run", "--methods", folder=place, capfd=capfd)
    assert code == 0, output
    assert "were split by patient" in output
    code, output = call("report", "run=scans", "--methods", folder=place, capfd=capfd)
    assert code == 2
    assert "expected a complete run" in output


def test_report_is_made_again_as_it_was(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = (place / "run" / "report.html").read_bytes()
    copy = shutil.copytree(place / "run", place / "again" / "run")
    (copy / "report.html").unlink()
    code, output = call("report", "run=again/run", folder=place, capfd=capfd)
    assert code == 0, output
    assert "again/run/report.html (0." in output
    assert (copy / "report.html").read_bytes() == before
    assert not (place / "report.log").exists()


@pytest.mark.parametrize(
    ("command", "arguments", "told"),
    [
        ("report", (), ["run=null: expected a run folder; give run=..."]),
        ("report", ("run=nowhere",), ["run=nowhere: no such folder; give a run folder"]),
        ("report", ("run=scans",), ["scans: not a run folder"]),
        ("view", (), ["run=null: expected a run folder, or workspace=...; give run=... or workspace=..."]),
        ("view", ("run=nowhere",), ["run=nowhere: no such folder; give a run folder"]),
        ("view", ("run=scans",), ["run=scans: expected test cases"]),
        ("view", ("run=run", "case=99"), ["case=99: expected a test case", "choose one of 2"]),
        ("view", ("run=run", "port=high"), ["port='high'", "valid integer"]),
        ("view", ("run=run", "port=70000"), ["port=70000: expected a value less than or equal to 65535"]),
        ("view", ("run=run", "browser=maybe"), ["browser='maybe'"]),
        ("view", ("run=run", "predictions=nowhere"), ["predictions=nowhere: no such folder; give a folder of masks"]),
        ("view", ("run=run", "predictions=run"), ["no mask of case 2", "segmentation-2"]),
        ("view", ("run=bare",), ["best.ckpt is missing"]),
    ],
)
def test_mistakes_are_reported_by_their_names(
    place: Path, command: str, arguments: tuple[str, ...], told: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    if "run=bare" in arguments:
        shutil.copytree(place / "run", place / "bare", ignore=shutil.ignore_patterns("*.ckpt"))
    code, output = call(command, *arguments, folder=place, capfd=capfd)
    assert code == 2, output
    for words in told:
        assert words in output
    assert "Traceback" not in output


def served(port: int, path: str) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
        return bytes(answer.read())


def test_view_shows_what_was_scored_until_it_is_stopped(place: Path) -> None:
    if not (Path(pages.__file__).parent / "page" / pages.BUNDLE).is_file():
        pytest.skip(f"this build has no {pages.BUNDLE}: pip install -e . brings it")
    process = start("view", "run=run", "browser=false", folder=place)
    assert process.stdout
    try:
        line = next(line for line in process.stdout if "http://" in line)
        port = int(re.search(r"127\.0\.0\.1:(\d+)/", line)[1])  # type: ignore[index]
        case = json.loads(served(port, "/cases.json"))["cases"][0]
        mask = nib.Nifti1Image.from_bytes(gzip.decompress(served(port, f"{case['path']}prediction.nii.gz")))
        scan = nib.Nifti1Image.from_bytes(served(port, f"{case['path']}scan.nii"))
        original = nib.load(place / "scans" / f"volume-{case['name']}.nii.gz")
        np.testing.assert_array_equal(np.asarray(scan.dataobj), np.asarray(original.dataobj))
    finally:
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert "Traceback" not in output
    labels = np.asarray(mask.dataobj)
    rows = [row for row in csv.DictReader((place / "run" / "cases.csv").open()) if row["case"] == case["name"]]
    predicted = {row["structure"]: int(row["predicted_voxels"]) for row in rows}
    assert predicted == {"liver": np.count_nonzero(labels), "tumour": np.count_nonzero(labels == 2)}
