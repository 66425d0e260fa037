"""Times taken in rounds that go through all contenders, so that drift affects them alike, and how they are judged."""

import operator
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

from lightning_liver.tables import Row

Result = TypeVar("Result")
Work = Callable[[int], object]  # given a seed
_COMPARE = {"<=": operator.le, ">=": operator.ge, "<": operator.lt}


def round_robin(work: Mapping[str, Callable[[], Result]], rounds: int) -> dict[str, list[Result]]:
    """Return the result of each contender in each round; each round begins with another contender."""
    names = list(work)
    taken: dict[str, list[Result]] = {name: [] for name in names}
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            taken[name].append(work[name]())
    return taken


def seconds_a_call(work: Mapping[str, Work], *, rounds: int, calls: int) -> dict[str, list[float]]:
    """Return the mean time over `calls` seeds, the same in each round, after a round that warms up."""
    taken = round_robin({name: partial(_mean_s, one, calls) for name, one in work.items()}, rounds + 1)
    return {name: times[1:] for name, times in taken.items()}


def _mean_s(work: Work, calls: int) -> float:
    began = time.perf_counter()
    for seed in range(calls):
        work(seed)
    return (time.perf_counter() - began) / calls


def median_and_range(values: Sequence[float], digits: int) -> tuple[float, str]:
    """Return the median, and the smallest and largest value as text."""
    return statistics.median(values), f"{min(values):.{digits}f}-{max(values):.{digits}f}"


def time_rows(
    taken: Mapping[str, Sequence[float]], title: str, unit: str, *, scale: float = 1, digits: int = 2
) -> list[Row]:
    """Return a row per contender: median over rounds and range, in seconds times `scale`."""
    rows: list[Row] = []
    for name, seconds in taken.items():
        median, spread = median_and_range([scale * one for one in seconds], digits)
        rows.append({title: name, unit: median, "range": spread})
    return rows


def ratios(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """Return the ratio of each round."""
    return [a / b for a, b in zip(above, below, strict=True)]


def ratio_text(title: str, values: Sequence[float], digits: int) -> str:
    """Return a ratio as `title: median (range)`."""
    ratio, spread = median_and_range(values, digits)
    return f"{title}: {ratio:.{digits}f} ({spread})"


def judged_ratio(title: str, values: Sequence[float], sign: str, target: float, digits: int) -> str:
    """Return a ratio, its range and whether its median meets the target."""
    return judged(ratio_text(title, values, digits), statistics.median(values), sign, target)


def judged(text: str, value: float, sign: str, target: float, form: str = "{:g}") -> str:
    """Return a line that ends with "pass" if the value meets the target, else "FAIL"."""
    return f"{text}, target {sign} {form.format(target)}: {'pass' if _COMPARE[sign](value, target) else 'FAIL'}"
