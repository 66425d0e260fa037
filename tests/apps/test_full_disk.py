"""Commands on a disk that is full or read-only, as mounts of their own; and two processes in one folder."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lightning_liver.files import held_lock
from tests.apps.commands import call, small_run

pytestmark = pytest.mark.slow

Mount = Callable[..., Path]


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    """Mount at a folder of this name, or skip where that is not allowed."""
    mounted = []

    def at(name: str, *arguments: str) -> Path:
        place = tmp_path / name
        place.mkdir(exist_ok=True)
        done = subprocess.run(["mount", *arguments, str(place)], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"cannot mount: {done.stderr.strip()}")
        mounted.append(place)
        return place

    yield at
    for place in mounted:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def tmpfs(mount: Mount, kilobytes: int) -> Path:
    return mount("small", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs")


@pytest.mark.parametrize("kilobytes", [20, 40, 60, 100])
def test_a_run_that_does_not_fit_goes_on_once_there_is_space(
    scans: Path, tmp_path: Path, mount: Mount, kilobytes: int, capfd: pytest.CaptureFixture[str]
) -> None:
    code, output = call("train", *small_run(scans, "whole"), folder=tmp_path, capfd=capfd)
    assert code == 0, output
    small = tmpfs(mount, kilobytes)
    run = small / "run"
    code, output = call("train", *small_run(scans, str(run)), folder=tmp_path, capfd=capfd)
    assert code == 2, output
    assert "does not fit (No space left on device); free space and continue with: python train.py resume=" in output
    assert "Traceback" not in output
    assert not list(small.rglob("*.partial"))
    subprocess.run(["mount", "-o", "remount,size=20m", str(small)], check=True)
    code, output = call("train", f"resume={run}", folder=tmp_path, capfd=capfd)
    assert code == 0, output
    assert (run / "metrics.json").read_bytes() == (tmp_path / "whole" / "metrics.json").read_bytes()


def test_commands_of_a_run_name_what_they_cannot_write(
    scans: Path, tmp_path: Path, mount: Mount, capfd: pytest.CaptureFixture[str]
) -> None:
    code, output = call("train", *small_run(scans, "run"), folder=tmp_path, capfd=capfd)
    assert code == 0, output
    small = tmpfs(mount, 8)
    fixed = mount("fixed", "--bind", str(tmp_path / "run"))
    subprocess.run(["mount", "-o", "remount,ro,bind", str(fixed)], check=True)
    predict = ["run=fixed", f"input={scans}", "trainer=cpu"]
    refused = {
        "predict on a full disk": ("predict", [*predict, f"output={small}/masks"], "No space left"),
        "predict": ("predict", [*predict, "output=fixed/masks"], "Read-only"),
        "evaluate on a full disk": (
            "evaluate",
            ["run=fixed", "trainer=cpu", f"hydra.run.dir={small}/a"],
            "No space left",
        ),
        "evaluate": ("evaluate", ["run=fixed", "trainer=cpu", "hydra.run.dir=fixed/a"], "Read-only"),
        "report": ("report", ["run=fixed"], "Read-only"),
        "export": ("export", ["run=fixed"], "Read-only"),
        "resume": ("train", ["resume=fixed", "trainer.max_epochs=3"], "Read-only"),
    }
    for name, (app, arguments, why) in refused.items():
        code, output = call(app, *arguments, folder=tmp_path, capfd=capfd)
        assert code == 2, f"{name}: {output}"
        assert why in output.splitlines()[-1], f"{name}: {output}"
        assert "Traceback" not in output
    code, output = call("predict", *predict, "output=masks", folder=tmp_path, capfd=capfd)
    assert code == 0, output
    with held_lock(tmp_path / "masks" / ".predict.lock"):
        code, output = call("predict", *predict, "output=masks", folder=tmp_path, capfd=capfd)
    assert code == 2
    assert "another liver-predict writes there" in output


def test_a_read_only_store_is_used_if_it_is_up_to_date(
    scans: Path, tmp_path: Path, mount: Mount, capfd: pytest.CaptureFixture[str]
) -> None:
    given = ["data=lits", f"data.root={scans}", "data.workers=0"]
    code, output = call("prepare", *given, "data.store=store", folder=tmp_path, capfd=capfd)
    assert code == 0, output
    fixed = mount("fixed", "--bind", str(tmp_path / "store"))
    subprocess.run(["mount", "-o", "remount,ro,bind", str(fixed)], check=True)
    code, output = call("prepare", *given, "data.store=fixed", folder=tmp_path, capfd=capfd)
    assert code == 0, output
    code, output = call("prepare", *given, "data.store=fixed", "data.spacing_mm=4", folder=tmp_path, capfd=capfd)
    assert code == 2
    assert "cannot be written (Read-only file system); set data.store to another folder" in output
