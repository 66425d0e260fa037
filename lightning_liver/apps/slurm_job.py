"""The Slurm job that a command runs in, which goes back into the queue when it has to end."""

import os
import subprocess
import sys
from collections.abc import Sequence

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

# sysexits.h: a failure that passes, try again; for SlurmdParameters' RequeueExit or a batch script of one's own
PUT_BACK = 75
_CONTINUED = ("hydra.run.dir=", "resume=")


def put_back() -> bool:
    """Put the Slurm job of this process back into the queue and say so; False where there is none, or it shall end.

    A job that is cancelled or at its limit has another state than RUNNING by the time its processes hear of it. A run
    whose command would begin another folder would start over and over: it is not put back.
    """
    job = os.environ.get("SLURM_JOB_ID", "")
    if os.environ.get("SLURM_PROCID") != "0" or not job.isdecimal() or not _goes_on():
        return False
    if _answer(["squeue", "--noheader", f"--jobs={job}", "--format=%T"]) != "RUNNING":
        return False
    if _answer(["scontrol", "requeue", job]) is None:
        return False
    print(f"Slurm has put job {job} back into the queue; there the same command continues.", file=sys.stderr)
    return True


def _goes_on() -> bool:
    """Return True if the same command again continues what it has begun."""
    if not HydraConfig.initialized():  # nothing has begun
        return True
    hydra = HydraConfig.get()
    typed = [*hydra.overrides.hydra, *hydra.overrides.task]
    return hydra.mode == RunMode.MULTIRUN or any(each.startswith(_CONTINUED) for each in typed)


def _answer(command: Sequence[str]) -> str | None:
    """Return what a command of Slurm's prints; None if it fails, which is said."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.strip()
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or error
        print(f"{' '.join(command)}: {str(said).strip()}; the job is not put back into the queue", file=sys.stderr)
        return None
