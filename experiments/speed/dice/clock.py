"""Minutes of training: when weights are kept, and what the schedule is told. Nothing here needs the framework."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

MARKS = (1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0)


class Reached(NamedTuple):
    """Where training was when its weights were kept."""

    steps: int
    seconds: float


def marks(budget: float) -> tuple[float, ...]:
    """Minutes at which weights are kept: those within the budget, and its end."""
    return (*(mark for mark in MARKS if mark < budget), budget)


class Clock:
    """Counts seconds and steps of training, and keeps weights in pauses.

    Args:
        budget: minutes.
        keep: called with the mark that is reached; the clock stands still meanwhile.
        now: seconds, of any origin.

    Attributes:
        reached: by mark. The last one is the end of training, wherever that was: a run of whole epochs ends beside it.
    """

    def __init__(
        self, budget: float, keep: Callable[[float], object], now: Callable[[], float] = time.perf_counter
    ) -> None:
        self.budget, self.keep, self.now = budget, keep, now
        self.steps = 0
        self.reached: dict[float, Reached] = {}
        self._began = now()
        self._due = list(marks(budget)[:-1])

    def start(self) -> None:
        self._began = self.now()

    @property
    def seconds(self) -> float:
        return self.now() - self._began

    @property
    def share(self) -> float:
        """Of the budget, 0 to 1."""
        return min(1.0, self.seconds / (60 * self.budget))

    @property
    def goes_on(self) -> bool:
        return self.share < 1

    @contextmanager
    def pause(self) -> Iterator[None]:
        stopped = self.now()
        yield
        self._began += self.now() - stopped

    def tick(self) -> None:
        """A step was made."""
        self.steps += 1
        while self._due and self.seconds >= 60 * self._due[0]:
            self._reach(self._due.pop(0))

    def finish(self) -> None:
        """Training is over."""
        self._reach(self.budget)

    def _reach(self, mark: float) -> None:
        self.reached[mark] = Reached(self.steps, self.seconds)
        with self.pause():
            self.keep(mark)
