"""python train.py estimate=true"""

from pathlib import Path

import pytest

from tests.apps.commands import call
from tests.apps.test_sweep import sweep

Say = tuple[int, str]


@pytest.fixture
def estimate(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    return lambda *arguments: call("train", *arguments, "estimate=true", folder=tmp_path, capfd=capfd)


@pytest.mark.slow
def test_counts_the_runs_of_a_sweep_and_starts_none(scans: Path, tmp_path: Path, estimate) -> None:
    code, output = estimate(*sweep(scans, "loss=bce,focal", "seed=0,1,2"))
    assert code == 0, output
    assert "6 runs, 0 of them done; 1 at a time" in output
    assert "a run" in output
    assert not (tmp_path / "multirun").exists()


@pytest.mark.slow
def test_leaves_out_what_is_done_and_goes_by_the_time_that_it_took(
    scans: Path, tmp_path: Path, estimate, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = sweep(scans, "loss=bce,focal")
    assert call("train", *arguments, folder=tmp_path, capfd=capfd)[0] == 0
    code, output = estimate(*arguments)
    assert (code, output.strip()) == (0, "2 runs, 2 of them done.")
    (done,) = (tmp_path / "multirun").glob("*/*focal*")
    (done / "metrics.json").unlink()
    code, output = estimate(*arguments)
    assert "2 runs, 1 of them done" in output
    assert "mean of 2 complete" in output
    (tmp_path / "results.csv").write_text(f"run\n{done.name}\n")
    code, output = estimate(*arguments, "results=results.csv")
    assert "2 of them done, 1 in results.csv (results=null runs them here)" in output


@pytest.mark.slow
def test_a_study_brings_its_own_sweep_and_runs_in_parallel(estimate) -> None:
    code, output = estimate("experiment=focal_grid", "data.matrix=32", "data.size=32", "hydra.launcher.n_jobs=2")
    assert code == 0, output
    assert "90 runs, 0 of them done; 2 at a time" in output


@pytest.mark.slow
def test_a_folder_of_yamls_is_searched_as_in_training(scans: Path, tmp_path: Path, estimate) -> None:
    (tmp_path / "mine" / "loss").mkdir(parents=True)
    (tmp_path / "mine" / "loss" / "own.yaml").write_text("defaults: [bce]\n")
    code, output = estimate("--config-dir", "mine", *sweep(scans, "loss=own,bce"))
    assert code == 0, output
    assert "2 runs, 0 of them done" in output


@pytest.mark.slow
def test_one_run_is_one_run(scans: Path, estimate) -> None:
    code, output = estimate(*[argument for argument in sweep(scans) if argument != "-m"])
    assert code == 0, output
    assert "1 run, 0 of them done; 1 at a time" in output


@pytest.mark.parametrize("wrong", ["loss=nothing", "loss.gamma=1,2,", "nothing=1"])
def test_mistakes_are_reported_as_training_would(scans: Path, estimate, wrong: str) -> None:
    code, output = estimate(*sweep(scans, wrong))
    assert code == 2
    assert "Traceback" not in output
