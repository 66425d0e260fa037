"""Status of a run folder: complete, running, trial, pruned, failed, begun or empty, with reason and progress."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from lightning_liver.config import budget_of
from lightning_liver.errors import first_line
from lightning_liver.files import is_held
from lightning_liver.readers import parsing, read_json
from lightning_liver.run_folder import RunFolder

COMPLETE, RUNNING, PRUNED, FAILED = "complete", "running", "pruned", "failed"
BEGUN, EMPTY = "begun", "empty"
TRIAL = "trial"  # validated, and not to be tested
SEARCHED = (TRIAL, PRUNED)  # states in which a search leaves a run

_FAILED_MARK = "FAILED:"


class Status(NamedTuple):
    """State of a run, why it failed or was pruned, or the score of a trial, and how far it is if not complete.

    `where` is the host and the process of a running run, empty where that is unknown.
    """

    state: str
    reason: str
    progress: str
    where: str = ""


def status_of(folder: Path) -> Status:
    """Return the status of a run folder; reads only, so a running run is not disturbed.

    Raises:
        LiverError: its chosen.json is damaged.
    """
    files = RunFolder(folder)
    if files.metrics.exists():
        return Status(COMPLETE, "", "")
    chosen = json_of(files.chosen)
    with parsing(files.chosen):
        progress = _progress(chosen or {})
    if is_held(files.lock):
        return Status(RUNNING, "", progress, _holder(files.holder))
    if chosen and chosen.get("pruned"):
        return Status(PRUNED, first_line(chosen["pruned"]), progress)
    if chosen and chosen.get("validated"):
        return Status(TRIAL, first_line(chosen["validated"]), progress)
    checkpoint, reason = files.last, ""
    for log in sorted(folder.glob("*.log"), key=_modified):
        # a checkpoint younger than the log: the run was resumed after the failure in the log
        if not checkpoint.exists() or _modified(checkpoint) <= _modified(log):
            reason = _reason(log) or reason
    if reason:
        return Status(FAILED, reason, progress)
    return Status(BEGUN if chosen is not None or checkpoint.exists() else EMPTY, "", progress)


def json_of(path: Path) -> dict[str, Any] | None:
    """Read the object in a JSON file of a run folder; None if the file is missing.

    Raises:
        LiverError: it is damaged.
    """
    return read_json(path) if path.exists() else None


def _holder(path: Path) -> str:
    """Return "HOST, process ID" of what runs in a folder; empty before it has written so, or after it ended."""
    try:
        known = re.fullmatch(r"(\S+) (\d+)", path.read_text(errors="replace"))
    except OSError:
        return ""
    return f"{known[1]}, process {known[2]}" if known and known[1].isprintable() else ""


def _progress(chosen: Mapping[str, Any]) -> str:
    if chosen.get("fitted"):
        return "trained, not tested"
    name = budget_of(chosen)
    if name == "max_minutes" and chosen.get("steps"):
        return f"of {chosen['steps']} steps"
    return f"of {chosen[name]:g} {name.removeprefix('max_')}" if chosen.get(name) else ""


def _reason(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if _FAILED_MARK in line]
    return lines[-1].partition(_FAILED_MARK)[2].strip() or "no message" if lines else ""


def _modified(path: Path) -> int:
    return path.stat().st_mtime_ns
