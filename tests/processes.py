"""Processes that a test started, found by a mark in their environment, which their children inherit."""

import time
from pathlib import Path
from uuid import uuid4

MARK = "LIVER_TEST_MARK"


def new_mark() -> dict[str, str]:
    """Return an environment variable that no other process has."""
    return {MARK: uuid4().hex}


def marked(mark: dict[str, str]) -> list[int]:
    """Return the ids of the processes with a mark, those that have ended left out."""
    wanted = "=".join(*mark.items()).encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (folder / "environ").read_bytes().split(b"\0"):  # empty of a process that has ended
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def left_after(mark: dict[str, str], seconds: float) -> list[int]:
    """Return the processes with a mark that are left after at most so many seconds."""
    end = time.monotonic() + seconds
    while (found := marked(mark)) and time.monotonic() < end:
        time.sleep(0.05)
    return found
