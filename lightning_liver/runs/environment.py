"""The machine and the versions that a run was made with."""

import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import torch

from lightning_liver.machine import cores, processor
from lightning_liver.tables import Row

_PACKAGE = "lightning-liver"
_GIB = 2**30


def environment() -> Row:
    """Return time, machine and the version of every package that ours needs; None where unknown."""
    return {
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "code": _code(),
        "machine": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": processor(),
        "cores": cores(),
        "memory_gib": _memory_gib(),
        "gpu": ", ".join(torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())) or None,
        "python": platform.python_version(),
        **_packages(),
    }


def _packages() -> dict[str, str]:
    try:
        lines = requires(_PACKAGE) or []
    except PackageNotFoundError:  # run from a checkout that is not installed
        lines = ["torch", "pytorch-lightning", "numpy"]
    needed = {match[0] for line in lines if "extra ==" not in line and (match := re.match(r"[\w.-]+", line))}
    return {name: found for name in sorted(needed) if (found := _version(name))}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _code() -> str:
    """Return our version and, in a checkout, its commit."""
    root = Path(__file__).parents[2]
    git = ("git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12")
    is_checkout = (root / "pyproject.toml").is_file()  # an installed wheel may lie in another project's repository
    commit = _output(*git) if is_checkout else None
    return " ".join(part for part in (_version(_PACKAGE), commit and f"commit {commit}") if part) or "unknown"


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / _GIB, 1)
    except (AttributeError, ValueError, OSError):  # not on Windows
        return None


def _output(*command: str) -> str | None:
    try:
        process = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return process.stdout.strip() or None if process.returncode == 0 else None
