"""python train.py -m hydra/sweeper=optuna"""

import json
import signal
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from filelock import FileLock
from hydra.core.plugins import Plugins
from optuna.trial import FrozenTrial, TrialState
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.apps.commands import call, run, small_run, start
from tests.conftest import write_scan

SPACE = ("optimizer.lr=tag(log,interval(1e-4,1e-2))", "loss.gamma=interval(0,5)", "loss.alpha=choice(0.25,0.5)")
THRESHOLD = ("hydra.sweeper.pruner._target_=optuna.pruners.ThresholdPruner", "+hydra.sweeper.pruner.lower=2")

slow = partial(pytest.param, marks=pytest.mark.slow)


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("optuna")
    for number in range(20, 25):
        write_scan(folder / "scans", number)
    return folder / "scans"


@pytest.fixture(autouse=True)
def _one_cache(scans: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIVER_CACHE", str(scans.parent / "cache"))


def search(scans: Path, folder: str, trials: int, *arguments: str) -> list[str]:
    plain = [a for a in small_run(scans, "", "trainer.max_epochs=1") if not a.startswith("hydra.run.dir")]
    where = [f"hydra.sweep.dir={folder}", f"hydra.sweeper.n_trials={trials}"]
    return ["-m", "hydra/sweeper=optuna", *plain, *where, "loss=focal", *arguments]


def trials_of(study: Path) -> list[FrozenTrial]:
    backend = optuna.storages.journal.JournalFileBackend(str(study / "optuna.log"))
    return optuna.load_study(study_name=None, storage=optuna.storages.JournalStorage(backend)).get_trials()


def told(study: Path) -> list[tuple[Any, ...]]:
    return [(t.number, t.state, t.params, t.values, t.intermediate_values, t.user_attrs) for t in trials_of(study)]


def events_of(folder: Path) -> set[Path]:
    return set(folder.rglob("events.out.*"))


def steps_of(path: Path) -> list[int]:
    events = EventAccumulator(str(path))
    events.Reload()
    return [event.step for event in events.Scalars("train/loss")] if "train/loss" in events.Tags()["scalars"] else []


def touched(study: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in study.rglob("*.ckpt")}


@pytest.mark.slow
def test_the_same_search_again_runs_nothing_and_a_longer_one_continues(
    scans: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code, output = call("train", *search(scans, "study", 3, *SPACE), folder=tmp_path, capfd=capfd)
    assert code == 0, output
    study = tmp_path / "study"
    trials = trials_of(study)
    assert [t.state for t in trials] == [TrialState.COMPLETE] * 3
    for trial in trials:
        metrics = json.loads((study / trial.user_attrs["folder"] / "metrics.json").read_text())
        assert metrics["val/mean/dice_per_case"] == trial.value
        assert "trial" not in Path(trial.user_attrs["folder"]).name
        assert list(trial.intermediate_values) == [0]
    best = max(trials, key=lambda trial: trial.value or 0)
    found = yaml.safe_load((study / "optimization_results.yaml").read_text())
    assert (found["best"]["value"], found["best"]["folder"]) == (best.value, best.user_attrs["folder"])
    assert f"loss.alpha={best.params['loss.alpha']}" in found["best"]["overrides"]
    assert str(study / best.user_attrs["folder"]) in output
    before, files = told(study), touched(study)
    code, output = call("train", *search(scans, "study", 3, *SPACE), folder=tmp_path, capfd=capfd)
    assert code == 0, output
    assert (told(study), touched(study)) == (before, files)
    assert "Best: " in output
    code, output = call("train", *search(scans, "study", 4, *SPACE), folder=tmp_path, capfd=capfd)
    assert code == 0, output
    assert told(study)[:3] == before
    assert len(told(study)) == 4
    code, output = call("train", *search(scans, "study", 4, *SPACE, "seed=1"), folder=tmp_path, capfd=capfd)
    assert code == 2
    assert "give another folder" in output


@pytest.mark.slow
def test_a_pruned_trial_is_neither_tested_nor_complete_nor_run_again(
    scans: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = search(scans, "study", 2, "loss.gamma=interval(0,5)", *THRESHOLD, "trainer.max_epochs=3")
    code, output = call("train", *arguments, folder=tmp_path, capfd=capfd)
    assert code == 0, output
    study = tmp_path / "study"
    assert [(t.state, list(t.intermediate_values)) for t in trials_of(study)] == [(TrialState.PRUNED, [0])] * 2
    assert "Testing" not in output
    folders = [study / trial.user_attrs["folder"] for trial in trials_of(study)]
    for folder in folders:
        assert not (folder / "metrics.json").exists()
        assert "val/mean/dice_per_case" in json.loads((folder / "chosen.json").read_text())["pruned"]
    before = told(study), touched(study)
    code, output = call("train", *arguments, folder=tmp_path, capfd=capfd)
    assert code == 0, output
    assert (told(study), touched(study)) == before
    code, output = call("train", f"resume={folders[0]}", folder=tmp_path, capfd=capfd)
    assert code == 0, output
    assert json.loads((folders[0] / "metrics.json").read_text())["epochs"] == 3, "by hand it may be trained on"
    assert told(study) == before[0]


@pytest.mark.slow
def test_a_trial_killed_after_it_was_given_up_is_not_trained_on(
    scans: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = search(scans, "study", 1, "loss.gamma=interval(0,5)", *THRESHOLD)
    assert call("train", *arguments, folder=tmp_path, capfd=capfd)[0] == 0
    journal = tmp_path / "study" / "optuna.log"
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(line for line in lines if '"op_code":6' not in line))  # it was not told yet
    assert [t.state for t in trials_of(tmp_path / "study")] == [TrialState.RUNNING]
    before = touched(tmp_path / "study")
    code, output = call("train", *arguments, folder=tmp_path, capfd=capfd)
    assert code == 0, output
    assert [t.state for t in trials_of(tmp_path / "study")] == [TrialState.PRUNED]
    assert touched(tmp_path / "study") == before


@pytest.mark.slow
def test_a_failed_trial_is_reported_with_its_reason_and_the_others_continue(
    scans: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    grid = (
        "hydra.sweeper.sampler._target_=optuna.samplers.GridSampler",
        "+hydra.sweeper.sampler.search_space={model.depth:['0','2']}",
    )
    arguments = search(scans, "study", 2, "model.depth=choice(0,2)", *grid)
    for _ in range(2):
        code, output = call("train", *arguments, folder=tmp_path, capfd=capfd)
        assert code == 2, output
        assert "1 of 2 trials failed" in output
        assert "model.depth=0" in output
        assert "Traceback" not in output
        trials = {t.params["model.depth"]: t for t in trials_of(tmp_path / "study")}
        assert {depth: t.state for depth, t in trials.items()} == {"0": TrialState.FAIL, "2": TrialState.COMPLETE}
        assert "model.depth" in trials["0"].user_attrs["reason"]
    assert yaml.safe_load((tmp_path / "study" / "optimization_results.yaml").read_text())["trials"]["failed"] == 1


@pytest.mark.slow
def test_a_trial_whose_folder_is_held_stays_running_until_it_is_free(
    scans: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The workers of a killed search may still train."""
    arguments = search(scans, "study", 1, "loss.gamma=interval(0,5)")
    assert call("train", *arguments, folder=tmp_path, capfd=capfd)[0] == 0
    (trial,) = trials_of(tmp_path / "study")
    (tmp_path / "study" / "optuna.log").unlink()
    with FileLock(tmp_path / "study" / trial.user_attrs["folder"] / ".lock"):
        code, output = call("train", *arguments, folder=tmp_path, capfd=capfd)
        assert code == 2
        assert "another process runs in this folder" in output
    assert [t.state for t in trials_of(tmp_path / "study")] == [TrialState.RUNNING]
    assert call("train", *arguments, folder=tmp_path, capfd=capfd)[0] == 0
    assert [(t.params, t.value) for t in trials_of(tmp_path / "study")] == [(trial.params, trial.value)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((*SPACE, "hydra.sweeper.n_trials=0"), "hydra.sweeper.n_trials=0"),
        slow((*SPACE, "hydra.sweeper.n_jobs=none"), "hydra.sweeper.n_jobs='none'"),
        ((*SPACE, "hydra.sweeper.direction=up"), "hydra.sweeper.direction='up'"),
        slow((*SPACE, "hydra.sweeper.metric=test/mean/dice_per_case"), "hydra.sweeper.metric="),
        ((*SPACE, "hydra.sweeper.metric=val/hausdorff"), "a validation gives val/liver/dice_global"),
        slow((*SPACE, "+hydra.sweeper.trials=3"), "trials"),
        ((), "expected a space to search"),
        (("loss.gamma=interval(a,b)",), "interval(a,b)"),
        slow(("loss.gamma=interval(5,0)",), "loss.gamma: "),
        (("loss.gama=interval(0,5)",), "loss.gama"),
        ((*SPACE, "hydra.sweeper.sampler._target_=optuna.samplers.Psychic"), "optuna.samplers.Psychic"),
        slow((*SPACE, "+hydra.sweeper.sampler.wisdom=1"), "wisdom"),
        slow((*SPACE, "hydra.sweeper.pruner._target_=optuna.pruners.Secateurs"), "optuna.pruners.Secateurs"),
    ],
)
def test_mistakes_are_reported_without_a_traceback(
    scans: Path, tmp_path: Path, arguments: tuple[str, ...], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    code, output = call("train", *search(scans, "study", 1, *arguments), folder=tmp_path, capfd=capfd)
    assert code == 2, output
    assert message in output
    assert "Traceback" not in output
    assert not list(tmp_path.glob("study/*/metrics.json"))


def test_without_optuna_the_extra_is_named(
    scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    Plugins.instance()  # imports them its own way
    monkeypatch.setattr(sys.modules["hydra_plugins.liver_search"], "find_spec", lambda name: None)
    code, output = call("train", *search(scans, "study", 1, *SPACE), folder=tmp_path, capfd=capfd)
    assert code == 2
    assert "pip install 'optuna>=4.3,<6'" in output
    assert "Traceback" not in output


@pytest.mark.slow
def test_a_killed_search_ends_as_one_that_was_not(
    scans: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """SIGKILL in the second trial, after an epoch; the first is whole by then."""
    longer = ("data.slices_per_epoch=120", "trainer.max_epochs=3", "scheduler.warmup_steps=0", "logger=tensorboard")
    code, output = call("train", *search(scans, "whole", 3, *SPACE, *longer), folder=tmp_path, capfd=capfd)
    assert code == 0, output
    process = start("train", *search(scans, "killed", 3, *SPACE, *longer), folder=tmp_path)
    second = tmp_path / "killed" / trials_of(tmp_path / "whole")[1].user_attrs["folder"]
    deadline = time.monotonic() + 240
    while not (second / "checkpoints" / "last.ckpt").exists() and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert [t.state for t in trials_of(tmp_path / "killed")] == [TrialState.COMPLETE, TrialState.RUNNING]
    assert not (second / "metrics.json").exists()
    before = events_of(second)
    code, output = call("train", *search(scans, "killed", 3, *SPACE, *longer), folder=tmp_path, capfd=capfd)
    assert code == 0, output
    assert told(tmp_path / "killed") == told(tmp_path / "whole")
    assert min(step for path in events_of(second) - before for step in steps_of(path)) >= 30, "an epoch has 30"


@pytest.mark.slow
@pytest.mark.parametrize(("pruner", "end"), [((), TrialState.COMPLETE), (THRESHOLD, TrialState.PRUNED)])
def test_trials_of_worker_processes_report_and_are_reported(
    scans: Path, tmp_path: Path, pruner: tuple[str, ...], end: TrialState
) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    together = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "hydra.sweeper.n_jobs=2")
    code, output = run("train", *search(scans, "study", 2, *SPACE, *together, *pruner), folder=tmp_path)
    assert code == 0, output
    assert [(t.state, list(t.intermediate_values)) for t in trials_of(tmp_path / "study")] == [(end, [0])] * 2
    assert len(list((tmp_path / "study").glob("*/metrics.json"))) == (2 if end == TrialState.COMPLETE else 0)


def test_help_does_not_import_optuna(tmp_path: Path) -> None:
    (tmp_path / "optuna.py").write_text("raise SystemExit('imported')\n")  # the folder comes first on python -c's path
    code, output = run("train", "--help", folder=tmp_path)
    assert code == 0, output
