"""Seconds of the stages of a run."""

import time


class Stopwatch:
    """Measures stages that follow each other, from its making on."""

    def __init__(self) -> None:
        self.seconds: dict[str, float | None] = {}
        self._began = time.perf_counter()

    def lap(self, stage: str) -> None:
        """End a stage; the next one begins."""
        now = time.perf_counter()
        self.seconds[stage], self._began = now - self._began, now
