"""Files on disks that are full, read-only, or without locks."""

import errno
import fcntl
import os
import platform
import resource
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from filelock import Timeout

from lightning_liver.errors import LiverError, LiverWarning, cannot_write
from lightning_liver.files import held_lock, replacing, write_whole
from lightning_liver.machine import user_cache
from lightning_liver.training.trainer import WholeCheckpoints


@contextmanager
def room(size: int) -> Iterator[None]:
    """Let no file become larger than so many bytes."""
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_checkpoint_that_does_not_fit_is_named_and_leaves_the_earlier_one(tmp_path: Path) -> None:
    path, files = tmp_path / "last.ckpt", WholeCheckpoints()
    files.save_checkpoint({"weights": torch.arange(4)}, path)
    with room(100_000), pytest.raises(OSError, match=r"last\.ckpt") as caught:
        files.save_checkpoint({"weights": torch.zeros(100_000)}, path)
    told = cannot_write(caught.value, go_on="continue with: it")
    assert told == f"{path}: does not fit (File too large); free space and continue with: it"
    assert torch.load(path, weights_only=True)["weights"].tolist() == [0, 1, 2, 3]
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_left_of_a_file_is_removed_when_it_is_written_again(tmp_path: Path) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    here = platform.node()
    (tmp_path / f".a[1].csv.{here}.{dead.pid}.partial").touch()
    names = (f".a[1].csv.{here}.{os.getppid()}", f".a[1].csv.other.{dead.pid}", f".b.csv.{here}.{dead.pid}")
    kept = [tmp_path / f"{name}.partial" for name in names]
    for path in kept:
        path.touch()
    write_whole(tmp_path / "a[1].csv", "text")
    assert {*tmp_path.iterdir()} == {*kept, tmp_path / "a[1].csv"}


def test_only_errors_of_the_disk_are_told_as_such() -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    assert (
        cannot_write(full, "run")
        == "run: does not fit (No space left on device); free space and type the same command again"
    )
    assert "make it writable" in str(cannot_write(PermissionError(errno.EACCES, "Permission denied", "a")))
    assert cannot_write(FileNotFoundError(errno.ENOENT, "No such file", "a")) is None
    assert cannot_write(ValueError("3")) is None
    told = LiverError("said already")
    told.__cause__ = full
    assert cannot_write(told) is None


def test_a_file_is_flushed_open_for_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows flushes no other."""
    modes = []

    def fsync(descriptor: int) -> None:
        modes.append(fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE)

    monkeypatch.setattr(os, "fsync", fsync)
    write_whole(tmp_path / "a", "text")
    assert modes == [os.O_RDWR]


def test_an_error_of_the_work_itself_keeps_its_kind(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "a"):
        _ = 1 / 0


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_a_warning(tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    done = []
    with pytest.warns(LiverWarning, match="the file system has no locks"), held_lock(tmp_path / "lock"):
        done.append(1)
    assert done


def test_a_lock_is_held_by_one(tmp_path: Path) -> None:
    with held_lock(tmp_path / "lock"), pytest.raises(Timeout), held_lock(tmp_path / "lock", timeout_s=0):
        pass


def test_a_user_without_a_home_has_a_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    def home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", home)
    assert user_cache().name == "lightning_liver"
