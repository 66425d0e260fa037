"""Processes whose time and memory are measured."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import psutil

_INTERVAL_S = 0.05


class Usage(NamedTuple):
    """Resources of a command.

    Args:
        seconds: of the whole command, its start included.
        peak_bytes: largest sum of the resident sets of its processes at one time.
    """

    seconds: float
    peak_bytes: int


def app(name: str, *options: str) -> list[str]:
    """Return the command line of one of our apps."""
    return [sys.executable, "-c", f"from lightning_liver.apps.{name} import main; main()", *options]


def measure(
    command: Sequence[object], *, cwd: Path | None = None, environment: Mapping[str, str] | None = None
) -> Usage:
    """Run a command to its end.

    Raises:
        RuntimeError: it fails; the message has the end of its output.
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
            output, _ = process.communicate(timeout=_INTERVAL_S)
            break
        except subprocess.TimeoutExpired:
            peak = max(peak, _resident(process.pid))
    seconds = time.perf_counter() - began
    if process.returncode:
        raise RuntimeError(f"{command[:3]} ended with exit code {process.returncode}:\n{output[-2000:]}")
    return Usage(seconds, peak)


def _resident(pid: int) -> int:
    """Return the bytes of a process and its descendants."""
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
