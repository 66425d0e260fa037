"""Times of several pieces of work, taken in rounds that go through all of them, so that drift hits them alike."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

Result = TypeVar("Result")

Work = Callable[[int], object]  # given a seed


def seconds_a_call(work: Mapping[str, Work], *, rounds: int, calls: int) -> dict[str, list[float]]:
    """The mean over `calls` seeds, the same ones in each round; every round begins with another piece of work.

    A round before the first one warms up.
    """
    names = list(work)
    taken: dict[str, list[float]] = {name: [] for name in names}
    for first in range(rounds + 1):
        start = first % len(names)
        for name in names[start:] + names[:start]:
            taken[name].append(_mean_s(work[name], calls))
    return {name: times[1:] for name, times in taken.items()}


def in_turns(work: Mapping[str, Callable[[], Result]], count: int) -> dict[str, list[Result]]:
    """What each piece of work gives in each round; every round begins with another one."""
    names = list(work)
    taken: dict[str, list[Result]] = {name: [] for name in names}
    for number in range(count):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            taken[name].append(work[name]())
    return taken


def middle_and_range(values: Sequence[float], digits: int) -> tuple[float, str]:
    """The median, and from where to where the values go."""
    return statistics.median(values), f"{min(values):.{digits}f}-{max(values):.{digits}f}"


def _mean_s(work: Work, calls: int) -> float:
    began = time.perf_counter()
    for seed in range(calls):
        work(seed)
    return (time.perf_counter() - began) / calls
