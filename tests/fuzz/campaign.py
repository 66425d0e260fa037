"""A campaign: mutations by seed, and what became of them."""

import os
import resource
import signal
import traceback
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lightning_liver.errors import LiverError
from lightning_liver.machine import end_with
from tests.fuzz.kinds import KINDS

SECONDS, GIB = 10, 2.0  # a mutation that takes more has failed


class _Hang(BaseException):
    """A mutation took too long; no `except Exception` keeps it."""


@dataclass
class Outcomes:
    """Numbers of mutations that were read, refused by a message, and failed, with the seeds and reasons of the last."""

    counts: Counter[str] = field(default_factory=Counter)
    failures: dict[int, str] = field(default_factory=dict)


def tried(kind: str, seeds: Iterable[int], folder: Path) -> Outcomes:
    """Damage files of a kind, one damage for each seed, and read them."""
    files, outcomes = KINDS[kind](folder), Outcomes()
    for seed in seeds:
        path, failure = files.damage(seed), None
        begun = _gib()
        try:
            with _limited(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                files.read()
            outcomes.counts["read"] += 1
        except LiverError:
            outcomes.counts["refused"] += 1
        except (_Hang, Exception) as error:
            failure = f"{path.name}: {type(error).__name__}: {str(error)[:300]}\n{_place(error)}"
        if _gib() > max(begun, GIB):
            failure = f"{path.name}: {_gib():.1f} GiB"
        if failure is not None:
            outcomes.counts["failed"] += 1
            outcomes.failures[seed] = failure
    return outcomes


def answering(kind: str, seeds: range, folder: str, answer: Any) -> None:
    """Put the counts and the failures of `tried` into a queue: the work of a process of its own."""
    end_with(os.getppid())
    outcomes = tried(kind, seeds, Path(folder))
    answer.put((outcomes.counts, outcomes.failures))


@contextmanager
def _limited() -> Iterator[None]:
    def stop(*_: Any) -> None:
        raise _Hang(f"more than {SECONDS} s")

    earlier = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, earlier)


def _gib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def _place(error: BaseException) -> str:
    return "".join(traceback.format_list(traceback.extract_tb(error.__traceback__)[-4:]))
