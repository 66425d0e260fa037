"""Training runs in and below some folders, a line each: when, status, data, what differs, Dice."""

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from lightning_liver.config import REPEATS
from lightning_liver.errors import LiverError, first_line
from lightning_liver.run_folder import NAMES, RunFolder
from lightning_liver.runs.settings import (
    Settings,
    configuration_names,
    learnt,
    read_choices,
    read_settings,
)
from lightning_liver.runs.status import COMPLETE, Status, json_of, status_of

DAMAGED = "damaged"  # a file of the run cannot be read

_NO_RUNS_IN = ("checkpoints", "pictures", "tensorboard", "pretraining")  # folders of a run
_NAMED = re.compile(r"([\w.@/]+)=(.*?)(?= [\w.@/]+=|$)")  # in the name of a configuration; a value may have spaces
_DICE = {
    "tumour": "test/tumour/dice_per_case",
    "liver": "test/liver/dice_per_case",
    "validation_tumour": "val/tumour/dice_per_case",
    "validation_liver": "val/liver/dice_per_case",
}


@dataclass(frozen=True)
class Line:
    """A run in one line.

    Args:
        when: its end or, of an incomplete run, its last sign of life; local time.
        reason: why it failed or was pruned; of a trial its score.
        progress: how far an incomplete run is.
        data: the choice of the group data.
        study: folder of its sweep, or the experiment that it belongs to; empty without either.
        differs: the run's values of the options in which the listed runs differ.
        tumour, liver: mean Dice of test cases; None without a test or before it.
        validation_tumour, validation_liver: mean Dice of validation cases.
    """

    folder: Path
    when: datetime
    status: str
    reason: str
    progress: str
    data: str
    study: str
    differs: Mapping[str, str]
    tumour: float | None
    liver: float | None
    validation_tumour: float | None
    validation_liver: float | None

    def as_json(self) -> dict[str, object]:
        """Return the fields as JSON holds them."""
        return asdict(self) | {"folder": str(self.folder), "when": self.when.isoformat(timespec="seconds")}


def training_runs(places: Iterable[Path], study: str | None = None) -> list[Line]:
    """Return the training runs in and below some folders, newest first.

    Args:
        study: only runs in a folder of this name, or of this experiment.

    Raises:
        LiverError: a folder is missing.
    """
    found = [run for run in map(_read, _folders(places)) if run is not None]
    kept = [run for run in found if study is None or study in (run.experiment, *run.folder.parts)]
    names = _differences([run.settings for run in kept])
    lines = [run.line(name) for run, name in zip(kept, names, strict=True)]
    return sorted(lines, key=lambda line: line.when, reverse=True)


@dataclass(frozen=True)
class _Found:
    folder: Path
    settings: Settings
    experiment: str
    metrics: Mapping[str, Any]
    status: Status

    def line(self, differs: Mapping[str, str]) -> Line:
        return Line(
            folder=self.folder,
            when=_when(self.folder, is_complete=self.status.state == COMPLETE),
            status=self.status.state,
            reason=self.status.reason,
            progress=self.status.progress,
            data=str(self.settings.get("data._choice_") or ""),
            study=self.folder.parent.name if _is_of_sweep(self.folder) else self.experiment,
            differs=differs,
            **{name: _number(self.metrics.get(metric)) for name, metric in _DICE.items()},
        )


def _read(folder: Path) -> _Found | None:
    """Read a run folder; None if another command wrote it."""
    try:
        settings = read_settings(folder)
        if "loss._target_" not in settings:
            return None
        experiment = str(read_choices(folder).get("experiment") or "")
        return _Found(folder, settings, experiment, json_of(RunFolder(folder).metrics) or {}, status_of(folder))
    except LiverError as error:  # one bad folder does not hide the others
        return _Found(folder, {}, "", {}, Status(DAMAGED, first_line(error), ""))


def _folders(places: Iterable[Path]) -> Iterator[Path]:
    """Yield each folder with a config once."""
    seen = set()
    for place in places:
        if not place.is_dir():
            raise LiverError(f"{place}: no such folder; give a run folder, or one above it such as multirun/STUDY")
        for path, below, _ in os.walk(place):
            below[:] = sorted(name for name in below if not name.startswith(".") and name not in _NO_RUNS_IN)
            folder = Path(path)
            if (folder / NAMES.config).is_file() and (real := folder.resolve()) not in seen:
                seen.add(real)
                yield folder


def _differences(configs: Sequence[Settings]) -> list[dict[str, str]]:
    """Return the options in which configs differ, those with the most values first, then seed and fold.

    The choice of data is not among them.
    """
    varying = _varying(configs)
    names = configuration_names([learnt({name: each[name] for name in varying if name in each}) for each in configs])
    own = [dict(_NAMED.findall("" if name == "all" else name)) for name in names]
    values = Counter(option for option, _ in {item for each in own for item in each.items()})
    options = [option for option, _ in values.most_common() if option != "data"]
    repeats = [option for option in REPEATS if option in varying]
    return [
        {option: each[option] for option in options if option in each}
        | {option: str(config[option]) for option in repeats if option in config}
        for each, config in zip(own, configs, strict=True)
    ]


def _varying(configs: Sequence[Settings]) -> list[str]:
    """Return the options that differ, and those that say whether options are read at all: others name no config."""
    first = {name: value for each in configs for name, value in each.items()}
    count = Counter(name for each in configs for name, value in each.items() if value == first[name])
    return [name for name in first if count[name] < len(configs) or name.startswith("finetune._")]


def _is_of_sweep(folder: Path) -> bool:
    return (folder.parent / "multirun.yaml").is_file()


def _when(folder: Path, *, is_complete: bool) -> datetime:
    """Return when a run ended, or when its files last changed."""
    files = RunFolder(folder)
    finished = (_environment(files.environment) if is_complete else {}).get("finished")
    with suppress(ValueError, TypeError, OverflowError):  # missing or damaged
        return datetime.fromisoformat(finished).astimezone().replace(tzinfo=None)  # type: ignore[arg-type]
    kept = [path for path in (files.metrics, files.last, files.chosen) if path.exists()] or [files.config]
    return datetime.fromtimestamp(max(path.stat().st_mtime for path in kept))


def _environment(path: Path) -> Mapping[str, Any]:
    try:
        return json_of(path) or {}
    except LiverError:
        return {}


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
