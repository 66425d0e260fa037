"""Processor, memory and cache of this machine."""

import os
import platform
import re
from pathlib import Path


def threads() -> int:
    """Return the number of threads for this process: its cores, or OMP_NUM_THREADS, by which joblib divides them."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return min(int(wanted), cores()) if wanted.isdecimal() and int(wanted) else cores()


def cores() -> int:
    """Return the number of processor cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def cache_folder() -> Path:
    """Return the folder of what can be made again: $LIVER_CACHE, else .cache where the command runs."""
    return Path(os.environ.get("LIVER_CACHE", ".cache"))


def available_bytes() -> int | None:
    """Return the memory available without swapping, from Linux's /proc; None on other systems."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable")), None)


def processor() -> str:
    """Return the processor's name."""
    info = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.*)", info.read_text(errors="replace")) if info.exists() else []
    return names[0] if names else platform.processor() or platform.machine()
