"""Processor, memory and cache of this machine, and worker processes."""

import multiprocessing
import os
import platform
import re
import sys
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

_WATCH_S = 1.0  # between two looks at the parent


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


def user_cache() -> Path:
    """Return this package's folder in the user's cache, or in the temporary folder for a user without a home."""
    if given := os.environ.get("XDG_CACHE_HOME"):
        return Path(given) / "lightning_liver"
    try:
        return Path.home() / ".cache" / "lightning_liver"
    except RuntimeError:  # a container's nameless user
        return Path(tempfile.gettempdir()) / "lightning_liver"


def is_running(process: int) -> bool:
    """Return True if a process of this id runs on this machine, or where that cannot be asked, as on Windows."""
    if sys.platform == "win32":  # os.kill would end it
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # of another user
        return True
    return True


def process_pool(workers: int) -> ProcessPoolExecutor:
    """Make a pool of processes that end with this one, however it ends."""
    # spawn: a forked child would inherit locks held by the caller's threads
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, mp_context=context, initializer=end_with, initargs=(os.getpid(),))


def end_with(parent: int) -> None:
    """Begin to watch the parent process, whose id is given, and end this process when it has ended.

    A pool's worker waits for work for ever after its parent was killed, since it holds both ends of the queue.
    """
    threading.Thread(target=_wait_and_leave, args=(parent,), name="parent", daemon=True).start()


def _wait_and_leave(parent: int) -> None:
    if sys.platform == "win32":  # the id of the parent stays there
        if (process := multiprocessing.parent_process()) is not None:
            process.join()
            os._exit(1)
        return
    while os.getppid() == parent:
        time.sleep(_WATCH_S)
    os._exit(1)


# set by torchrun, and by srun for each task of a step: rank, rank on the node, number of processes
_STARTERS = (("RANK", "LOCAL_RANK", "WORLD_SIZE"), ("SLURM_PROCID", "SLURM_LOCALID", "SLURM_STEP_NUM_TASKS"))


def started_as() -> tuple[int, int, int] | None:
    """Return the rank, the rank on its node and the number of processes that torchrun or srun started with this one.

    None where this process was started alone.
    """
    for names in _STARTERS:
        if all(os.environ.get(name, "").isdecimal() for name in names):
            rank, local_rank, world = (int(os.environ[name]) for name in names)
            return (rank, local_rank, world) if world > 1 else None
    return None
