"""Scalars that a run logged to TensorBoard."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


class Point(NamedTuple):
    """A scalar at an optimizer step."""

    step: int
    value: float


Curve = Sequence[Point]


def read_scalars(folder: Path) -> dict[str, Curve]:
    """Read all curves in a folder of event files by name, every point of them; empty if nothing was logged."""
    if not folder.is_dir():
        return {}
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    return {
        tag: [Point(int(event.step), float(event.value)) for event in sorted(events.Scalars(tag), key=_when)]
        for tag in events.Tags()["scalars"]
    }


def _when(event: Any) -> float:
    """Return when a point was logged: event files are read by name, where part 10 of a second comes before part 9."""
    return float(event.wall_time)


def while_training(curve: Curve, steps: int | None) -> Curve:
    """Drop points logged after training: the best weights validated again at the last step, hyper-parameters at step 0.

    Args:
        steps: of the whole training; None keeps the last step.
    """
    return [point for point in curve if point.step > 0 and (steps is None or point.step < steps)]


def epochs_of(curves: Mapping[str, Curve]) -> dict[int, int]:
    """Return the number of epochs begun at each logged step."""
    return {point.step: int(point.value) + 1 for point in curves.get("epoch", ())}
