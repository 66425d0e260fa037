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
        self._began = time.perf_counter()

    def lap(self) -> float:
        """End a stage and return its seconds; the next one begins."""
        began, self._began = self._began, time.perf_counter()
        return self._began - began
