"""Status of a run folder, as --status shows it."""

import json
import os
import platform
from pathlib import Path

import pytest
from filelock import FileLock

from lightning_liver.comparison.runs import read_runs, status_rows
from lightning_liver.errors import LiverError
from lightning_liver.files import is_held
from lightning_liver.runs.status import status_of
from lightning_liver.training.run_state import locked
from tests.report.run_folders import scores_of, write_config, write_run


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    write_config(tmp_path / "run", {"_target_": "package.losses.bce"})
    return tmp_path / "run"


def said(folder: Path) -> tuple[object, ...]:
    ((row),) = status_rows(read_runs([folder]))
    return row["status"], row["progress"], row["reason"]


def choose(folder: Path, **chosen: object) -> None:
    (folder / "chosen.json").write_text(json.dumps(chosen))


def test_run_whose_lock_is_held_is_running(begun: Path) -> None:
    choose(begun, max_epochs=40)
    with locked(begun):
        assert said(begun) == ("running", "of 40 epochs", "")
        assert status_of(begun).where == f"{platform.node()}, process {os.getpid()}"
    assert said(begun) == ("begun", "of 40 epochs", "")
    assert not status_of(begun).where
    assert not (begun / ".holder").exists()


def test_reading_the_status_does_not_change_the_lock(begun: Path) -> None:
    said(begun)
    assert not (begun / ".lock").exists()
    with locked(begun):
        before = (begun / ".lock").stat()
        said(begun)
        after = (begun / ".lock").stat()
        assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
        with pytest.raises(LiverError, match="another process"), locked(begun):
            pass


def test_two_readers_of_the_status_do_not_see_each_other(tmp_path: Path) -> None:
    with FileLock(tmp_path / ".lock"):
        assert is_held(tmp_path / ".lock")
    fcntl = pytest.importorskip("fcntl")
    with (tmp_path / ".lock").open() as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        assert not is_held(tmp_path / ".lock")


def test_run_starts_while_its_status_is_read(begun: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with locked(begun):
        pass
    fcntl = pytest.importorskip("fcntl")
    looking = os.open(begun / ".lock", os.O_RDONLY)
    fcntl.flock(looking, fcntl.LOCK_SH)
    waited: list[float] = []

    def release(seconds: float) -> None:
        waited.append(seconds)
        fcntl.flock(looking, fcntl.LOCK_UN)

    monkeypatch.setattr("time.sleep", release)
    with locked(begun):
        assert len(waited) == 1
    os.close(looking)


def test_status_of_a_read_only_folder_is_read(begun: Path) -> None:
    with locked(begun):
        begun.chmod(0o500)
        (begun / ".lock").chmod(0o400)
        try:
            assert said(begun)[0] == "running"
        finally:
            begun.chmod(0o700)
            (begun / ".lock").chmod(0o600)
    (begun / ".lock").unlink()
    begun.chmod(0o500)
    try:
        assert said(begun)[0] == "empty"
    finally:
        begun.chmod(0o700)


def test_complete_run_stays_complete_while_its_lock_is_held(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", "bce", scores_of(0.5))
    with locked(run):
        assert said(run) == ("complete", "3 epochs", "")


def test_pruned_run_shows_its_reason_in_one_line(begun: Path) -> None:
    choose(begun, max_epochs=40, pruned="val/tumour/dice below the median\nof 5 trials")
    (begun / "train.log").write_text("FAILED: pruned\n")
    assert said(begun) == ("pruned", "of 40 epochs", "val/tumour/dice below the median")


@pytest.mark.parametrize(
    ("chosen", "progress"),
    [
        ({"max_epochs": 10, "max_minutes": None}, "of 10 epochs"),
        ({"max_epochs": 10, "max_minutes": 3.5}, "of 3.5 minutes"),
        ({"max_epochs": 10, "max_minutes": 3.5, "steps": 700}, "of 700 steps"),
        ({"max_epochs": 10, "fitted": True}, "trained, not tested"),
        ({}, ""),
    ],
)
def test_begun_run_shows_its_progress(begun: Path, chosen: dict[str, object], progress: str) -> None:
    choose(begun, **chosen)
    assert said(begun) == ("begun", progress, "")


def test_failure_of_several_lines_is_shown_by_the_first(begun: Path) -> None:
    (begun / "train.log").write_text(
        "[2026-01-31] - FAILED: RuntimeError: sizes differ:\n  256\n  128\nTraceback (most recent call last):\n"
    )
    assert said(begun) == ("failed", "", "RuntimeError: sizes differ:")


def test_damaged_chosen_json_is_named(begun: Path) -> None:
    for content in ("", "[1]", "{"):
        (begun / "chosen.json").write_text(content)
        with pytest.raises(LiverError, match=r"run/chosen\.json"):
            read_runs([begun])


def test_validated_trial_shows_its_score_until_it_is_tested(begun: Path) -> None:
    choose(begun, max_epochs=4, fitted=True, validated="val/mean/dice_per_case 0.5")
    assert said(begun) == ("trial", "trained, not tested", "val/mean/dice_per_case 0.5")
    choose(begun, max_epochs=4, fitted=True, validated=None)
    assert said(begun) == ("begun", "trained, not tested", "")


def test_a_budget_that_no_run_writes_is_named(begun: Path) -> None:
    (begun / "chosen.json").write_text('{"max_epochs": "ten"}')
    with pytest.raises(LiverError, match=r"chosen\.json: damaged"):
        status_of(begun)
