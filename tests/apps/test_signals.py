"""What ends a command from outside, and what is left of it."""

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.apps.commands import SMALL, small_run, start
from tests.processes import left_after, marked, new_mark

pytestmark = pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs /proc")

SWEEP = ("seed=0,1", "hydra/launcher=joblib", "hydra.launcher.n_jobs=4", "trainer.max_epochs=400")


def started(app: str, *arguments: str, folder: Path, mark: dict[str, str]) -> subprocess.Popen[str]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in mark.items():
            patch.setenv(name, value)
        return start(app, *arguments, folder=folder, new_group=True)


def wait_for(what: Callable[[], object], process: subprocess.Popen[str]) -> None:
    while not what():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.02)


def ended(process: subprocess.Popen[str], number: int) -> None:
    process.send_signal(number)
    process.wait(timeout=60)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_of_a_preparation_is_left_behind(tmp_path: Path, number: int) -> None:
    mark = new_mark()
    given = ["data=phantom", "data.cases=12", "data.matrix=128", "data.workers=3"]
    process = started("prepare", *given, folder=tmp_path, mark=mark)
    wait_for(lambda: list(tmp_path.rglob("*.nii.gz")), process)
    assert len(marked(mark)) >= 4
    ended(process, number)
    assert not left_after(mark, 10)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_of_a_parallel_sweep_is_left_behind(scans: Path, tmp_path: Path, number: int) -> None:
    """Two of the four workers have no job, one of the others loads slices with a process of its own."""
    mark = new_mark()
    given = ["-m", f"data.root={scans}", *SMALL, *SWEEP, "data.num_workers=1"]
    process = started("train", *given, folder=tmp_path, mark=mark)
    wait_for(lambda: list(tmp_path.rglob("last.ckpt")), process)
    ended(process, number)
    assert not left_after(mark, 10)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGUSR1", "SIGINT"])
def test_a_signal_ends_a_run_with_what_continues_it(scans: Path, tmp_path: Path, name: str) -> None:
    process = started("train", *small_run(scans, "run", "trainer.max_epochs=4000"), folder=tmp_path, mark=new_mark())
    wait_for((tmp_path / "run" / "checkpoints" / "last.ckpt").exists, process)
    process.send_signal(getattr(signal, name))
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 2, output
    assert f"Interrupted. Continue with: python train.py resume={tmp_path / 'run'}" in output
    assert "Traceback" not in output


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_one_signal_ends_a_sweep(scans: Path, tmp_path: Path, launcher: str) -> None:
    mark = new_mark()
    given = ["-m", f"data.root={scans}", *SMALL, "seed=0,1,2", f"hydra/launcher={launcher}", "trainer.max_epochs=400"]
    process = started("train", *given, folder=tmp_path, mark=mark)
    wait_for(lambda: list(tmp_path.rglob("last.ckpt")), process)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert "Interrupted. The same command continues the sweep" in output
    assert not left_after(mark, 10)
