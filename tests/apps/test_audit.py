"""liver-audit on tiny scans: its files, what it refuses, and exit codes."""

import csv
import json
import re
import shutil
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from tests.apps.commands import call, called
from tests.conftest import write_scan

DATA = ("data=lits", "data.root=scans", "data.workers=0")


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with five scans, one of which cannot be read, and their audit in `made`."""
    folder = tmp_path_factory.mktemp("audited")
    for number in range(20, 25):
        write_scan(folder / "scans", number)
    (folder / "scans" / "volume-24.nii.gz").write_bytes(b"damaged")
    with (folder / "output.txt").open("w") as output, redirect_stdout(output), pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIVER_CACHE", str(folder / "cache"))
        assert called("audit", *DATA, "data.folds=4", "output=made", folder=folder) == 1, "a part is done"
    return folder


@pytest.fixture
def folder(audited: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the scans of the audit, which are prepared, to be changed."""
    monkeypatch.setenv("LIVER_CACHE", str(audited / "cache"))
    shutil.copytree(audited / "scans", tmp_path / "others")
    (tmp_path / "scans").symlink_to(audited / "scans")
    (tmp_path / "others" / "volume-24.nii.gz").unlink()
    return tmp_path


def test_every_scan_that_can_be_read_is_audited_and_the_other_is_named(audited: Path) -> None:
    rows = list(csv.DictReader((audited / "made" / "audit.csv").open()))
    assert list(rows[0]) == ["severity", "kind", "cases", "slice_index", "score", "text"]
    [unreadable] = [row for row in rows if row["kind"] == "unreadable"]
    assert unreadable["cases"] == "24"
    assert unreadable["severity"] == "fix"
    assert "volume-24.nii.gz" in unreadable["text"]
    scans = list(csv.DictReader((audited / "made" / "fingerprint.csv").open()))
    assert [row["case"] for row in scans] == ["20", "21", "22", "23"]
    assert {row["slice_mm"] for row in scans} == {"3.0"}


def test_page_lists_what_must_be_fixed_and_each_check_that_found_nothing(audited: Path) -> None:
    page = (audited / "made" / "audit.html").read_text()
    assert "Unreadable scans: 1" in page
    fine = page[page.index('id="fine"') : page.index('id="fingerprint"')]
    assert re.search(r"Leaks of the split</th>\s*<td>4 folds", fine)
    assert re.search(r"The same patient</th>\s*<td>6 pairs", fine)
    assert not re.search(r"(src|href)=\"(?!data:|#)", page), "all is within the page"


def test_draft_of_patients_is_a_table_that_data_patients_takes(
    audited: Path, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    draft = audited / "made" / "patients.csv"
    assert draft.read_text() == "case,patient\n20,20\n21,21\n22,22\n23,23\n"
    options = ("data=lits", "data.root=others", f"data.patients={draft}", "data.workers=0")
    code, output = call("prepare", *options, folder=folder, capfd=capfd)
    assert code == 0, output


def test_audit_is_kept_beside_the_store_for_training(audited: Path) -> None:
    [record] = (audited / "cache").rglob("audit.json")
    assert json.loads(record.read_text())["folder"] == str((audited / "made").resolve())


def test_one_scan_has_nothing_to_be_compared_with(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for path in (folder / "others").iterdir():
        if "-20." not in path.name:
            path.unlink()
    options = ("data=lits", "data.root=others", "data.workers=0", "output=made")
    code, output = call("audit", *options, folder=folder, capfd=capfd)
    assert code == 0, output
    assert "There is one scan only, so there is nothing to compare it with" in output
    assert "nothing to compare" in (folder / "made" / "audit.html").read_text()


def test_split_of_a_run_is_checked_by_the_names_of_its_cases(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run = folder / "run"
    (run / ".hydra").mkdir(parents=True)
    (run / ".hydra" / "config.yaml").write_text("data: {}\n")
    (folder / "patients.csv").write_text("case,patient\n20,A\n21,A\n22,B\n23,C\n")
    (run / "split.json").write_text(json.dumps({"train": ["20", "9"], "val": ["22"], "test": ["21"]}))
    options = ("data=lits", "data.root=others", "data.workers=0", "data.patients=patients.csv", "output=made")
    code, output = call("audit", *options, "run=run", folder=folder, capfd=capfd)
    assert code == 0, output
    assert "cases of its split are not in data.root and cannot be checked: 9" in output
    assert "Leaks of the split: 20 and 21: run: 20 trains, 21 tests" in output
    (run / "split.json").write_text(json.dumps({"train": ["1"], "val": ["2"], "test": ["3"]}))
    code, output = call("audit", *options, "run=run", folder=folder, capfd=capfd)
    assert code == 2
    assert "none of its 3 cases is in data.root" in output


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (("run=nowhere",), "run=nowhere: no such folder; give a run folder"),
        (("run=scans",), "run=scans: expected a run folder, or that of a finished cross-validation"),
        (("compare=nowhere",), "compare=nowhere: there is no such folder; give a folder of scans, as data.root"),
        (("compare=scans",), "compare=scans: expected another data set than data.root"),
        (("compare=others", "compare_data=msd"), "dataset.json"),
        (("pictures=-1",), "pictures=-1"),
        (("data.root=nowhere",), "there is no such folder; set data.root"),
    ],
)
def test_wrong_options_are_reported_by_their_names(
    folder: Path, wrong: tuple[str, ...], told: str, capfd: pytest.CaptureFixture[str]
) -> None:
    code, output = call("audit", *DATA, *wrong, "output=wrong", folder=folder, capfd=capfd)
    assert code == 2, output
    assert told in output
    assert "Traceback" not in output
    assert not (folder / "wrong" / "audit.html").exists()


def test_only_unreadable_scans_are_refused(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for path in (folder / "others").glob("volume-*"):
        path.write_bytes(b"damaged")
    options = ("data=lits", "data.root=others", "data.workers=0", "output=made")
    code, output = call("audit", *options, folder=folder, capfd=capfd)
    assert code == 2, output
    assert "4 of 4 scans could not be read" in output


def test_two_data_sets_stand_beside_each_other(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code, output = call("audit", *DATA, "compare=others", "output=made", folder=folder, capfd=capfd)
    assert code == 1, output
    rows = list(csv.DictReader((folder / "made" / "fingerprint.csv").open()))
    assert [row["data"] for row in rows] == ["scans"] * 4 + ["others"] * 4
    page = (folder / "made" / "audit.html").read_text()
    assert "orange others" in page
