"""python train.py -m"""

import json
import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from lightning_liver.commands.estimate import plan_of, run_folder
from lightning_liver.errors import LiverError
from lightning_liver.runs.listing import earlier_rows, is_listed, replaced_row
from tests.apps.commands import call, run, small_run, start


def sweep(scans: Path, *arguments: str) -> list[str]:
    plain = [a for a in small_run(scans, "unused", "trainer.max_epochs=1") if not a.startswith("hydra.run.dir")]
    return ["-m", *plain, *arguments]


def state(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*.ckpt")}


def test_the_same_sweep_again_skips_what_is_complete_and_runs_the_rest(
    scans: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = sweep(scans, "loss=bce,focal", "trainer.max_epochs=1")
    code, output = call("train", *arguments, folder=tmp_path, capfd=capfd)
    assert code == 0, output
    (study,) = (tmp_path / "multirun").iterdir()
    runs = sorted(path.parent for path in study.glob("*/metrics.json"))
    assert len(runs) == 2
    assert not [run for run in runs if set(run.name) & set("=,/ ")]
    assert sum("loss-focal" in run.name for run in runs) == 1
    kept = json.loads((runs[0] / "metrics.json").read_text())
    (runs[0] / "metrics.json").unlink()
    before = state(study)
    code, output = call("train", *arguments, folder=tmp_path, capfd=capfd)
    assert code == 0, output
    assert output.count("is complete") == 1
    assert state(study) == before
    assert json.loads((runs[0] / "metrics.json").read_text()) == kept


@pytest.mark.slow
def test_a_failed_job_does_not_stop_the_others_and_the_end_names_the_best_and_what_follows(
    scans: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code, output = call("train", *sweep(scans, "model.depth=0,2"), folder=tmp_path, capfd=capfd)
    assert code == 2
    assert "FAILED: model.depth" in output
    (best,) = (path.parent.relative_to(tmp_path) for path in (tmp_path / "multirun").glob("*/*/metrics.json"))
    end = output[output.index(f"{best.parent}: 2 runs, 1 complete, 1 failed") :]
    assert re.search(
        rf"Best on validation cases \(Dice of tumour 0\.\d+, liver 0\.\d+\): {re.escape(str(best))}\n", end
    )
    assert f"liver-predict run={best} " in end
    assert f"liver-compare {best.parent} " in end
    assert any("FAILED" in path.read_text() for path in (tmp_path / "multirun").glob("*/*/train.log"))


def test_ctrl_c_ends_the_sweep_and_not_only_its_job(
    scans: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: object, **options: object) -> None:
        raise SystemExit(1)  # as Lightning does

    monkeypatch.setattr("pytorch_lightning.Trainer.fit", interrupted)
    code, output = call("train", *sweep(scans, "loss=bce,dice"), folder=tmp_path, capfd=capfd)
    assert code == 130, output
    assert "Interrupted. The same command continues the sweep" in output
    assert len(list((tmp_path / "multirun").glob("*/*/.hydra"))) == 1


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_ctrl_c_in_a_terminal_ends_a_sweep(scans: Path, tmp_path: Path, launcher: str) -> None:
    jobs = sweep(scans, "seed=0,1,2,3,4,5,6,7", "trainer.max_epochs=400", f"hydra/launcher={launcher}")
    process = start("train", *jobs, "hydra.sweep.dir=multirun/six", folder=tmp_path, new_group=True)
    while not begun(tmp_path / "multirun" / "six"):
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert "Interrupted. The same command continues the sweep" in output
    assert not list((tmp_path / "multirun").glob("*/*/metrics.json"))


@pytest.mark.slow
def test_a_run_that_the_results_have_is_not_run_again(
    scans: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = sweep(scans, "loss=bce,focal")
    (tmp_path / "first").mkdir()
    code, output = call("train", *arguments, folder=tmp_path / "first", capfd=capfd)
    assert code == 0, output
    focal = next(path.parent.name for path in (tmp_path / "first").glob("multirun/*/*focal*/metrics.json"))
    (tmp_path / "results.csv").write_text(f"run,configuration\n{focal},loss=focal\n")
    (tmp_path / "second").mkdir()
    code, output = call("train", *arguments, f"results={tmp_path}/results.csv", folder=tmp_path / "second", capfd=capfd)
    assert code == 0, output
    assert f"{focal} is skipped: " in output
    done = [path.parent.name for path in (tmp_path / "second").glob("multirun/*/*/metrics.json")]
    assert len(done) == 1
    assert "bce" in done[0]


@pytest.mark.parametrize(
    ("had", "wanted", "listed"),
    [
        (("8", "null"), (8, None), True),
        (("8", "null"), (9, None), False),
        (("8", "null"), (8, 1.0), False),
        (("8", "1.5"), (8, 1.5), True),
        (("8", "1.5"), (8, 3.0), False),
    ],
)
def test_results_of_a_shorter_run_are_not_those_of_a_longer_one(
    tmp_path: Path, had: tuple[str, str], wanted: tuple[int, float | None], listed: bool
) -> None:
    path = tmp_path / "results.csv"
    path.write_text(f"run,trainer.max_epochs,trainer.max_minutes\na,{','.join(had)}\n")
    trainer = OmegaConf.create(dict(zip(("max_epochs", "max_minutes"), wanted, strict=True)))
    assert is_listed("a", str(path), trainer) == listed
    assert not is_listed("b", str(path), trainer)
    path.write_text("run,trainer.max_epochs,trainer.max_minutes\na,many,many\n")
    with pytest.raises(LiverError, match="give a table of runs"):
        is_listed("a", str(path), trainer)


def test_rows_of_an_earlier_version_are_told(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    assert earlier_rows(None) == earlier_rows(str(path)) == ""
    path.write_text("run,version\nloss-bce-00000001,1\nloss-dice-00000001,2\n")
    assert "1 of 2 runs were listed by an earlier version" in earlier_rows(str(path))
    assert replaced_row("loss-dice-00000002", str(path)) == "loss-dice-00000001"
    assert replaced_row("loss-dice-00000001", str(path)) is None
    path.write_text("run\nseed-0-00000001\nseed-0-00000002\n")  # of two commands of a study
    assert replaced_row("seed-0-00000003", str(path)) is None
    assert "2 of 2 runs" in earlier_rows(str(path))


@pytest.mark.slow
@pytest.mark.parametrize("study", ["recipe", "recipe_augment"])
def test_listed_runs_of_a_committed_study_are_recognised(study: str) -> None:
    runs = plan_of([f"experiment={study}", "data.root=/lits", "data.patients=/patients.csv"]).runs
    root = Path(__file__).parents[2] / "experiments" / study
    assert all(is_listed(run_folder(cfg).name, str(root / "results.csv"), cfg.trainer) for cfg in runs)


def test_a_damaged_table_of_results_is_reported(scans: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "results.csv").write_text("name\nfirst\n")
    code, output = call("train", *sweep(scans, "loss=bce", "results=results.csv"), folder=tmp_path, capfd=capfd)
    assert code == 2
    assert "results.csv" in output
    assert "damaged (no column run); give a table of runs" in output


@pytest.mark.slow
def test_parallel_jobs_share_the_threads_and_each_has_its_folder(scans: Path, tmp_path: Path) -> None:
    arguments = [a for a in sweep(scans, "loss=bce,dice", "data.num_workers=1") if not a.startswith("trainer.threads")]
    code, output = run("train", *arguments, "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", folder=tmp_path)
    assert code == 0, output
    chosen = [json.loads(path.read_text()) for path in (tmp_path / "multirun").glob("*/*/chosen.json")]
    assert [each["threads"] for each in chosen] == [max((os.cpu_count() or 1) // 2, 1)] * 2
    assert len(list((tmp_path / "multirun").glob("*/*/metrics.json"))) == 2


Wait = Callable[[Path], Path | None]


def complete(study: Path) -> Path | None:
    return next((path.parent for path in study.glob("*/metrics.json")), None)


def begun(study: Path) -> Path | None:
    saved = [path.parents[1] for path in study.glob("*/checkpoints/last.ckpt")]
    return next((folder for folder in saved if not (folder / "metrics.json").exists()), None)


def kill_once(arguments: list[str], folder: Path, there: Wait) -> Path:
    """Start a sweep and kill it as soon as a run is `there`, which it gives back."""
    process = start("train", *arguments, folder=folder)
    try:
        while not (found := there(folder / "multirun" / "six")):
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    return found


@pytest.mark.slow
def test_a_sweep_killed_twice_ends_with_the_same_figures_bit_for_bit(scans: Path, tmp_path: Path) -> None:
    longer = ("trainer.max_epochs=8", "trainer.enable_progress_bar=false", "hydra.sweep.dir=multirun/six")
    arguments = sweep(scans, "loss=bce,dice,focal", "seed=0,1", *longer)
    killed, alone = tmp_path / "killed", tmp_path / "alone"
    killed.mkdir()
    alone.mkdir()
    first = kill_once(arguments, killed, complete)
    touched = {path: path.stat().st_mtime_ns for path in first.rglob("*") if path.is_file() and path.suffix != ".log"}
    half = kill_once(arguments, killed, begun)
    assert not (half / "metrics.json").exists()
    code, output = run("train", *arguments, folder=killed)
    assert code == 0, output
    code, output = run("train", *arguments, folder=alone)
    assert code == 0, output
    figures = {path.parent.name: path.read_bytes() for path in alone.glob("multirun/six/*/metrics.json")}
    assert len(figures) == 6
    assert {path.parent.name: path.read_bytes() for path in killed.glob("multirun/six/*/metrics.json")} == figures
    kept = {path: path.stat().st_mtime_ns for path in touched if ".hydra" not in path.parts}
    assert kept == {path: when for path, when in touched.items() if ".hydra" not in path.parts}
    steps = re.findall(r"Continuing after epoch (\d+), step (\d+)", (half / "train.log").read_text())
    assert int(steps[-1][1]) > 0
