"""Training as jobs of a Slurm cluster: hydra/launcher=slurm, and python train.py in a batch script."""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.apps.commands import ROOT, small_run, start
from tests.apps.test_cluster_sweep import metrics, signalled
from tests.apps.test_sweep import sweep
from tests.optional import needs
from tests.slurm import slurm_of_this_machine

SLURM = ["hydra/launcher=slurm", "hydra.launcher.cpus_per_task=1", "hydra.launcher.signal_delay_s=10"]

OF_HIGHER_PRIORITY = ("sbatch", "--partition=high", "--ntasks=2", "--output=/dev/null", "--wrap=sleep 1")


@pytest.fixture
def slurm(tmp_path: Path) -> Iterator[None]:
    with slurm_of_this_machine(tmp_path / "slurm"):
        yield


def ask(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def wait_for(what: Callable[[], object], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, ask("scontrol", "show", "job")
        time.sleep(0.1)


def state(job: str) -> str:
    return ask("squeue", "--noheader", "--states=all", f"--jobs={job}", "--format=%T").strip()


def times_continued(run: Path) -> int:
    return (run / "train.log").read_text().count("Continuing after epoch")


@pytest.mark.slow
def test_a_sweep_on_slurm_goes_on_after_a_kill_and_after_a_job_of_higher_priority(
    scans: Path, tmp_path: Path, slurm: None
) -> None:
    needs("submitit")
    study = tmp_path / "multirun" / "two"
    command = [*sweep(scans, "loss=bce,dice", "trainer.max_epochs=100", "hydra.sweep.dir=multirun/two"), *SLURM]

    process = start("train", *command, folder=tmp_path)
    killed = signalled(process, study, signal.SIGKILL)
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 2, output
    assert "ended without a result" in output
    assert len(metrics(study)) == 1
    assert "Traceback" not in output

    process = start("train", *command, folder=tmp_path)
    wait_for(lambda: times_continued(killed) == 1)
    ask(*OF_HIGHER_PRIORITY)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert len(metrics(study)) == 2
    assert times_continued(killed) == 2


@pytest.mark.slow
def test_a_batch_job_goes_on_after_a_warning_and_a_job_of_higher_priority_and_ends_when_it_is_cancelled(
    scans: Path, tmp_path: Path, slurm: None
) -> None:
    arguments = small_run(scans, "run", "trainer.max_epochs=4000")
    script = tmp_path / "job.sh"
    script.write_text(f"#!/bin/sh\nsrun {shlex.join([sys.executable, str(ROOT / 'train.py'), *arguments])}\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "lightning_liver" / "plugins")]))
        job = ask("sbatch", "--parsable", f"--chdir={tmp_path}", "--output=out.txt", str(script)).strip()
    run = tmp_path / "run"
    wait_for((run / "checkpoints" / "last.ckpt").exists)
    ask("scancel", "--signal=USR1", job)
    wait_for(lambda: times_continued(run) == 1)
    ask(*OF_HIGHER_PRIORITY)
    wait_for(lambda: times_continued(run) == 2)
    ask("scancel", job)
    wait_for(lambda: state(job) in ("CANCELLED", ""), seconds=30)
    assert not (run / "metrics.json").exists()
