"""python train.py -m hydra/launcher=slurm, by submitit's local executor, and hydra/launcher=ray."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hydra.core.plugins import Plugins

from lightning_liver.runs.status import RUNNING, status_of
from tests.apps.commands import call, run, start
from tests.apps.test_sweep import sweep
from tests.optional import needs

LAUNCHERS = {
    "slurm": ("submitit", ["hydra/launcher=slurm", "hydra.launcher.executor=local"]),
    "ray": ("ray", ["hydra/launcher=ray"]),
}
SIX = ("loss=bce,dice,focal", "seed=0,1", "trainer.max_epochs=6", "trainer.enable_progress_bar=false")


def launcher(name: str) -> list[str]:
    package, arguments = LAUNCHERS[name]
    needs(package)
    return arguments


def signalled(process: subprocess.Popen[str], study: Path, number: int) -> Path:
    """Signal the first run that has a checkpoint, as soon as it has one; return its folder."""
    while True:
        assert process.poll() is None, process.communicate()[0]
        for folder in (path.parents[1] for path in study.glob("*/checkpoints/last.ckpt")):
            if (status := status_of(folder)).state == RUNNING and status.where:
                os.kill(int(status.where.rpartition(" ")[2]), number)
                return folder
        time.sleep(0.01)


def metrics(study: Path) -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in study.glob("*/metrics.json")}


@pytest.mark.parametrize("name", LAUNCHERS)
def test_without_its_package_a_launcher_names_the_extra(
    scans: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    Plugins.instance()  # imports them its own way
    monkeypatch.setattr(sys.modules["hydra_plugins.liver_cluster"], "find_spec", lambda name: None)
    code, output = call("train", *sweep(scans, "seed=0,1", f"hydra/launcher={name}"), folder=tmp_path, capfd=capfd)
    assert code == 2
    package = {"slurm": "hydra-submitit-launcher>=1.2", "ray": "ray[default]>=2.40"}[name]
    assert f"hydra/launcher={name}: expected the package" in output
    assert f"pip install '{package}'" in output
    assert "Traceback" not in output


@pytest.mark.parametrize(
    ("name", "typed", "message"),
    [
        ("slurm", "hydra.launcher.timeout_min=0", "hydra.launcher.timeout_min=0: expected a value greater than"),
        ("slurm", "hydra.launcher.executor=pbs", "hydra.launcher.executor='pbs': expected 'slurm' or 'local'"),
        ("slurm", "hydra.launcher.array_parallelism=2", "hydra/launcher=slurm: expected a cluster that takes the jobs"),
        ("ray", "hydra.launcher.num_gpus=-1", "hydra.launcher.num_gpus=-1: expected a value greater than"),
    ],
)
def test_a_wrong_option_of_a_launcher_is_answered(
    scans: Path,
    tmp_path: Path,
    name: str,
    typed: str,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    needs(LAUNCHERS[name][0])
    monkeypatch.setenv("PATH", str(tmp_path))  # without srun
    arguments = sweep(scans, "seed=0,1", f"hydra/launcher={name}", typed)
    code, output = call("train", *arguments, folder=tmp_path, capfd=capfd)
    assert code == 2, output
    assert message in output
    assert "Traceback" not in output


@pytest.mark.slow
@pytest.mark.parametrize("name", LAUNCHERS)
def test_a_killed_job_costs_its_last_epoch_and_the_sweep_ends_as_that_of_the_basic_launcher(
    scans: Path, tmp_path: Path, name: str
) -> None:
    arguments = [*sweep(scans, *SIX, "hydra.sweep.dir=multirun/six"), *launcher(name)]
    spread, alone = tmp_path / "spread", tmp_path / "alone"
    spread.mkdir()
    alone.mkdir()
    process = start("train", *arguments, folder=spread)
    killed = signalled(process, spread / "multirun" / "six", signal.SIGKILL)
    output, _ = process.communicate(timeout=400)
    # Ray starts a killed job again by itself
    assert process.returncode == (2 if name == "slurm" else 0), output
    assert len(metrics(spread / "multirun" / "six")) == (5 if name == "slurm" else 6)
    if name == "slurm":
        assert "ended without a result" in output
        code, output = run("train", *arguments, folder=spread)
        assert code == 0, output
    code, output = run("train", *sweep(scans, *SIX, "hydra.sweep.dir=multirun/six"), folder=alone)
    assert code == 0, output
    found = metrics(spread / "multirun" / "six")
    assert len(found) == 6
    assert found == metrics(alone / "multirun" / "six")
    logs = [path.read_text() for path in spread.glob("multirun/six/*/train.log")]
    assert sum("Preparing 5 of 5 cases" in text for text in logs) == 1
    assert "Continuing after epoch" in (killed / "train.log").read_text()


@pytest.mark.slow
def test_a_job_that_is_warned_of_its_end_goes_back_into_the_queue_and_on(scans: Path, tmp_path: Path) -> None:
    jobs = sweep(scans, "loss=bce", "trainer.max_epochs=60", "data.num_workers=1", "hydra.sweep.dir=multirun/one")
    process = start("train", *jobs, *launcher("slurm"), folder=tmp_path)
    warned = signalled(process, tmp_path / "multirun" / "one", signal.SIGUSR2)
    output, _ = process.communicate(timeout=200)
    assert process.returncode == 0, output
    assert (warned / "metrics.json").exists()
    assert (warned / "train.log").read_text().count("Continuing after epoch") == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", LAUNCHERS)
def test_ctrl_c_ends_the_jobs_of_a_sweep(scans: Path, tmp_path: Path, name: str) -> None:
    jobs = sweep(scans, "seed=0,1", "trainer.max_epochs=400", "hydra.sweep.dir=multirun/two")
    process = start("train", *jobs, *launcher(name), folder=tmp_path, new_group=True)
    study = tmp_path / "multirun" / "two"
    while not list(study.glob("*/checkpoints/last.ckpt")):
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert "Interrupted. The same command continues the sweep" in output
    end = time.monotonic() + 20
    while any(status_of(path.parents[1]).state == RUNNING for path in study.glob("*/.hydra/config.yaml")):
        assert time.monotonic() < end
        time.sleep(0.1)
    assert not list(study.glob("*/metrics.json"))
