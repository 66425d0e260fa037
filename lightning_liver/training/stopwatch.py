"""Clock of a device, and seconds of the stages of a run."""

import time
from collections.abc import Callable

import torch


def now(device: torch.device) -> float:
    """Return the clock's seconds once the device has finished its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def seconds_of(step: Callable[[], object], device: torch.device) -> float:
    """Return the seconds of a step, until the device has finished its work."""
    began = now(device)
    step()
    return now(device) - began


class Stopwatch:
    """Measures stages that follow each other, from its making on."""

    def __init__(self) -> None:
        self.seconds: dict[str, float | None] = {}
        self._began = time.perf_counter()

    def lap(self, stage: str) -> None:
        """End a stage; the next one begins."""
        now = time.perf_counter()
        self.seconds[stage], self._began = now - self._began, now
