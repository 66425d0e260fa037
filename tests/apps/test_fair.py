"""python train.py -m hydra/sweeper=fair"""

import json
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lightning_liver.comparison.runs import complete_runs, configurations, read_runs
from lightning_liver.sweep.fair_table import read_fair
from tests.apps.commands import call, start
from tests.apps.test_sweep import sweep
from tests.conftest import write_scan

FAIR = ("hydra/sweeper=fair", "hydra.sweeper.trials=2", "hydra.sweep.dir=study")


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fair")
    for number in range(20, 25):
        write_scan(folder / "scans", number)
    return folder / "scans"


@pytest.fixture(autouse=True)
def _one_cache(scans: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIVER_CACHE", str(scans.parent / "cache"))


def files(study: Path, name: str) -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in study.glob(f"*/{name}")}


def chosen(study: Path) -> list[dict[str, Any]]:
    """Return what fair.json has, without seconds."""
    contenders = json.loads((study / "fair.json").read_text())["contenders"]
    return [{**each, "search_s": None} for each in contenders]


@pytest.mark.slow
def test_chosen_settings_are_tested_and_compared_and_trials_are_not(
    scans: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = sweep(scans, *FAIR, "loss=dice,focal", "seed=0", "logger=none")
    code, output = call("train", *arguments, "estimate=true", folder=tmp_path, capfd=capfd)
    assert (code, "4 trials, 0 of them ended, then 2 runs, 0 of them done; 1 at a time" in output) == (0, True), output
    study = tmp_path / "study"
    assert not study.exists()
    code, output = call("train", *arguments, folder=tmp_path, capfd=capfd)
    assert code == 0, output
    assert "What each contender chose by val/mean/dice_per_case" in output
    states = {path.parent.name: json.loads(path.read_text()) for path in study.glob("*/chosen.json")}
    assert len(states) == 4, "both tested runs go on with a trial"
    trials = [name for name in states if not (study / name / "metrics.json").exists()]
    assert len(trials) == 2
    for name in trials:
        assert states[name]["validated"].startswith("val/mean/dice_per_case 0.")
        assert not (study / name / "cases.csv").exists()
        assert not (study / name / "pictures").exists()
    result = read_fair(study)
    assert result is not None
    assert [each.trials for each in result.contenders] == [2, 2]
    assert all(each.search_s > 0 for each in result.contenders)

    code, output = call("compare", "study", "--status", folder=tmp_path, capfd=capfd)
    assert "4 runs: 2 complete, 2 trial" in output
    (tmp_path / "README.md").write_text("<!-- liver-compare -->\n<!-- /liver-compare -->\n")
    code, output = call("compare", "study", "--write", "README.md", folder=tmp_path, capfd=capfd)
    assert code == 0, output
    assert "Note: 2 trials of a search not tested, and not compared" in output

    before = files(study, "metrics.json"), (study / "fair.json").read_bytes()
    code, output = call("train", *arguments, "estimate=true", folder=tmp_path, capfd=capfd)
    assert "2 runs, 2 of them done." in output
    code, output = call("train", *arguments, folder=tmp_path, capfd=capfd)
    assert code == 0, output
    assert (files(study, "metrics.json"), (study / "fair.json").read_bytes()) == before
    shutil.rmtree(study)
    code, output = call("compare", ".", folder=tmp_path, capfd=capfd)
    assert code == 0, output
    assert output.count("What each contender chose") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("hydra.sweeper.trials=0",), "hydra.sweeper.trials=0: expected"),
        (("hydra.sweeper.metric=val/loss",), "hydra.sweeper.metric='val/loss': expected a Dice of validation cases"),
        (("hydra.sweeper.n_trials=3",), "n_trials"),
        (("loss=dice",), "expected contenders to compare"),
        (("data.fold=0,1,2,3,4",), "leave out one of 5 folds"),
        (("optimizer.lr=interval(3,1)",), "optimizer.lr: "),
        (("loss.gama=interval(1,3)",), "loss.gama"),
        (("loss=dice,nothing",), "loss=nothing: expected one of"),
    ],
)
def test_mistakes_are_reported_before_anything_runs(
    scans: Path, tmp_path: Path, arguments: tuple[str, ...], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    code, output = call("train", *sweep(scans, *FAIR, "loss=dice,focal", *arguments), folder=tmp_path, capfd=capfd)
    assert code == 2, output
    assert message in output
    assert "Traceback" not in output
    assert not list(tmp_path.glob("study/*/chosen.json"))


@pytest.mark.slow
def test_spaces_of_an_own_choice_stand_beside_it(
    scans: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    own = {"loss": "_target_: lightning_liver.losses.region.dice\n_partial_: true\nsmooth: 1.0\nclass_weights: null\n"}
    for folder, text in {**own, "tune/loss": "loss.smooth: interval(1,9)\n"}.items():
        (tmp_path / "mine" / folder).mkdir(parents=True)
        (tmp_path / "mine" / folder / "mine.yaml").write_text(text)
    arguments = sweep(scans, *FAIR, "loss=dice,mine", "--config-dir", "mine")
    code, output = call("train", *arguments, folder=tmp_path, capfd=capfd)
    assert code == 0, output
    result = read_fair(tmp_path / "study")
    assert result is not None
    assert [list(each.chosen) for each in result.contenders] == [["optimizer.lr"], ["optimizer.lr", "loss.smooth"]]


def in_a_trial(study: Path) -> bool:
    """Return True in the second round, once a trial has trained for an epoch."""
    return len(list(study.glob("*/checkpoints/last.ckpt"))) > 2


def in_a_tested_run(study: Path) -> bool:
    """Return True once a run other than a trial has trained for an epoch, and trials are tested."""
    return len(list(study.glob("*/checkpoints/last.ckpt"))) > 4


@pytest.mark.slow
def test_a_comparison_killed_in_a_trial_and_in_a_run_ends_as_one_that_was_not(
    scans: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    longer = ("trainer.max_epochs=8", "trainer.enable_progress_bar=false", "data.slices_per_epoch=64", "data.fold=0,1")
    arguments = sweep(scans, *FAIR, "loss=dice,focal", *longer)
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    for folder in (killed, whole):
        folder.mkdir()
    done: dict[Path, int] = {}
    for is_there in (in_a_trial, in_a_tested_run):
        kill_once(arguments, killed, is_there)
        kept = {path: path.stat().st_mtime_ns for path in done}
        assert kept == done, "nothing that was complete is trained again"
        for state in (killed / "study").glob("*/chosen.json"):
            if json.loads(state.read_text()).get("validated"):
                done[state.with_name("checkpoints") / "last.ckpt"] = (
                    state.with_name("checkpoints").joinpath("last.ckpt").stat().st_mtime_ns
                )
        assert len(done) >= 2
    for folder in (killed, whole):
        code, output = call("train", *arguments, folder=folder, capfd=capfd)
        assert code == 0, output
    assert {path: path.stat().st_mtime_ns for path in done} == done
    assert files(killed / "study", "metrics.json") == files(whole / "study", "metrics.json")
    assert len(files(whole / "study", "metrics.json")) == 4
    assert len(set(configurations(complete_runs(read_runs([whole / "study"]))).values())) == 2
    assert chosen(killed / "study") == chosen(whole / "study")


def kill_once(arguments: list[str], folder: Path, is_there: Callable[[Path], bool]) -> None:
    """Start a comparison and kill it as soon as it is in a stage."""
    process = start("train", *arguments, folder=folder)
    deadline = time.monotonic() + 240
    try:
        while not is_there(folder / "study"):
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
