"""A command that is timed, and whose memory is watched."""

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import psutil

_OFTEN_S = 0.05


class Watched(NamedTuple):
    """Of one command.

    Args:
        seconds: of the whole command, its start included.
        peak_bytes: the largest sum of the resident sets of its processes at one time.
    """

    seconds: float
    peak_bytes: int


def watch(
    command: Sequence[object], *, cwd: Path | None = None, environment: Mapping[str, str] | None = None
) -> Watched:
    """Run a command to its end.

    Raises:
        RuntimeError: it fails; with the end of what it said.
    """
    began, peak = time.perf_counter(), 0
    process = subprocess.Popen(
        [str(word) for word in command],
        cwd=cwd,
        env=os.environ | dict(environment or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    while True:
        try:
            said, _ = process.communicate(timeout=_OFTEN_S)
            break
        except subprocess.TimeoutExpired:
            peak = max(peak, _resident(process.pid))
    seconds = time.perf_counter() - began
    if process.returncode:
        raise RuntimeError(f"{command[:3]} ended with {process.returncode}:\n{said[-2000:]}")
    return Watched(seconds, peak)


def _resident(pid: int) -> int:
    """Bytes of a process and of all that it started."""
    total = 0
    try:
        root = psutil.Process(pid)
        for one in (root, *root.children(recursive=True)):
            try:
                total += one.memory_info().rss
            except psutil.NoSuchProcess:
                continue
    except psutil.NoSuchProcess:
        pass
    return total
