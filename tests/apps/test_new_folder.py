"""A command that is refused before it did anything leaves no run folder, and deletes nothing else."""

from pathlib import Path

import pytest

from lightning_liver.runs.status import status_of
from tests.apps.commands import call, small_run


@pytest.mark.parametrize(("app", "argument"), [("train", "data=lits"), ("predict", "run=null")])
def test_refused_command_leaves_no_folder(
    tmp_path: Path, app: str, argument: str, capfd: pytest.CaptureFixture[str]
) -> None:
    code, output = call(app, argument, folder=tmp_path, capfd=capfd)
    assert code == 2, output
    assert "expected" in output
    assert not list(tmp_path.iterdir())


def test_folders_from_before_the_command_stay(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "outputs" / "mine").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    for folder in ("outputs/mine/new", "empty"):
        code, output = call("train", "data=lits", f"hydra.run.dir={folder}", folder=tmp_path, capfd=capfd)
        assert code == 2, output
    assert [path.name for path in tmp_path.glob("outputs/**/*")] == ["mine"]
    assert (tmp_path / "empty" / ".hydra" / "config.yaml").exists()


def test_folder_with_a_log_or_files_stays_and_its_run_has_failed(
    scans: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code, output = call("train", *small_run(scans, "run", "data.folds=30"), folder=tmp_path, capfd=capfd)
    assert code == 2, output
    assert (tmp_path / "run" / ".hydra" / "config.yaml").exists()
    assert (tmp_path / "run" / "train.log").stat().st_size
    status, reason, *_ = status_of(tmp_path / "run")
    assert status == "failed"
    assert reason.startswith("data.folds=30: expected at most")
    assert output.count("data.folds=30: expected") == 1


def test_a_refusal_to_continue_a_run_does_not_make_it_a_failed_one(
    scans: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code, output = call("train", *small_run(scans, "run", "data.folds=30"), folder=tmp_path, capfd=capfd)
    log = tmp_path / "run" / "train.log"
    log.write_text("begun\n")
    code, output = call("train", "resume=run", "trainer.max_epochs=1", folder=tmp_path, capfd=capfd)
    assert code == 2, output
    assert "it may only grow" in output
    assert "FAILED" not in log.read_text()
    assert status_of(tmp_path / "run").state == "begun"
