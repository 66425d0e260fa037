"""Scalars that a run logged: scalars.csv, and the event files of TensorBoard in the folders of earlier versions."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lightning_liver.readers import parsing, read_rows
from lightning_liver.run_folder import RunFolder

_HEADER = ("step", "name", "value")


class Point(NamedTuple):
    """A scalar at an optimizer step."""

    step: int
    value: float


Curve = Sequence[Point]


def append_scalars(path: Path, values: Mapping[str, float], step: int) -> None:
    """Append a row for each scalar of an optimizer step to a scalars.csv."""
    is_new = not path.exists()
    with path.open("a", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([_HEADER] if is_new else [])
        writer.writerows((step, name, float(value)) for name, value in values.items())


def read_curves(files: RunFolder) -> dict[str, Curve]:
    """Read all curves of a run by name; empty if nothing was logged.

    A run that an earlier version began has those of its event files where they have more points.
    """
    recorded, logged = _recorded(files.scalars), read_scalars(files.tensorboard)
    both = {name: max(recorded.get(name, ()), logged.get(name, ()), key=len) for name in {**logged, **recorded}}
    return both if recorded else logged


def _recorded(path: Path) -> dict[str, Curve]:
    """Read a scalars.csv; of a step that was logged again, after an interruption, the last value counts."""
    if not path.exists():
        return {}
    curves: dict[str, dict[int, float]] = {}
    with parsing(path):
        for row in read_rows(path, _HEADER, ragged=True):  # a run that was killed may have left a part of a row
            if row["value"]:
                curves.setdefault(row["name"], {})[int(row["step"])] = float(row["value"])
    return {name: [Point(*each) for each in sorted(values.items())] for name, values in curves.items()}


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
