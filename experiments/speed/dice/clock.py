"""Minutes of training: when weights are saved, and the progress for schedules. Imports nothing of the framework."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

MARKS = (1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0)


class Reached(NamedTuple):
    """Steps and seconds of training when weights were saved."""

    steps: int
    seconds: float


def marks(budget: float) -> tuple[float, ...]:
    """Return the minutes at which weights are saved: those within the budget, and its end."""
    return (*(mark for mark in MARKS if mark < budget), budget)


class Clock:
    """Counts seconds and steps of training, and saves weights in pauses.

    Args:
        budget: minutes.
        save: called with each mark that is reached, while the clock is stopped.
        now: returns seconds from any origin.

    Attributes:
        reached: steps and seconds by mark. The last one is the end of training, which may lie beside the budget.
    """

    def __init__(
        self, budget: float, save: Callable[[float], object], now: Callable[[], float] = time.perf_counter
    ) -> None:
        self.budget, self.save, self.now = budget, save, now
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
    def progress(self) -> float:
        """Return the fraction of the budget that is used, 0 to 1."""
        return min(1.0, self.seconds / (60 * self.budget))

    @property
    def is_running(self) -> bool:
        return self.progress < 1

    @contextmanager
    def pause(self) -> Iterator[None]:
        stopped = self.now()
        yield
        self._began += self.now() - stopped

    def tick(self) -> None:
        """Count a step."""
        self.steps += 1
        while self._due and self.seconds >= 60 * self._due[0]:
            self._reach(self._due.pop(0))

    def finish(self) -> None:
        """End training."""
        self._reach(self.budget)

    def _reach(self, mark: float) -> None:
        self.reached[mark] = Reached(self.steps, self.seconds)
        with self.pause():
            self.save(mark)
