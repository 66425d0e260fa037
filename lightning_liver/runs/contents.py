"""Contents of a run folder that a report shows; a run need not have all of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning_liver.data.splits import PARTS
from lightning_liver.readers import parsing, read_rows, read_text, read_yaml
from lightning_liver.run_folder import RunFolder
from lightning_liver.runs.scalars import Curve, read_curves
from lightning_liver.runs.settings import Settings, read_settings
from lightning_liver.runs.status import json_of
from lightning_liver.runs.timing import Timing, read_timing
from lightning_liver.runs.warning_log import read_warnings

Line = Mapping[str, str]

_CURE = "remove it to have a report without it, or run again"

_COLUMNS = {
    "cases": ("case", "patient", "structure", "dice"),
    "lesions": ("case", "patient", "kind", "lesion", "diameter_mm", "detected_0"),
    "calibration": ("structure", "bin_low", "bin_high", "voxels", "mean_probability", "true_share"),
    "data": ("part", "case", "patient", "slices", "slice_mm", "pixel_mm", "rows", "columns", "tumour_slices"),
}


@dataclass(frozen=True)
class Contents:
    """Contents of a run folder; None or empty where a file is missing.

    Args:
        metrics: of metrics.json, or of a run that is about to write it.
        differs: how its config differs from the defaults, see lightning_liver.runs.differences.differences.
        overrides: as typed.
        job: name of the config: train, or evaluate.
        config_folders: typed as --config-dir.
        choices: of the config's groups.
    """

    folder: Path
    settings: Settings
    choices: Mapping[str, str | None]
    overrides: Sequence[str] | None
    swept: bool
    job: str
    config_folders: Sequence[str]
    differs: Mapping[str, Any] | None
    metrics: Mapping[str, Any]
    cases: Sequence[Line]
    lesions: Sequence[Line] | None
    calibration: Sequence[Line] | None
    decision: Mapping[str, Any] | None
    data: Sequence[Line] | None
    split: Mapping[str, Sequence[str]] | None
    timing: Timing
    chosen: Mapping[str, Any]
    environment: Mapping[str, Any] | None
    transfer: str | None
    curves: Mapping[str, Curve]
    warnings: Sequence[str]
    config: str | None


def read_contents(folder: Path, metrics: Mapping[str, Any] | None = None) -> Contents:
    """Read a run folder.

    Args:
        metrics: in place of metrics.json, which a run writes last.

    Raises:
        LiverError: a file is damaged or of another kind.
    """
    files = RunFolder(folder)
    return Contents(
        folder=folder,
        settings=read_settings(folder),
        **_hydra(folder),
        differs=json_of(files.differs),
        metrics=metrics if metrics is not None else json_of(files.metrics) or {},
        cases=read_lines(files.cases) or (),
        lesions=read_lines(files.lesions),
        calibration=read_lines(files.calibration),
        decision=json_of(files.decision),
        data=read_lines(files.data),
        split=_split(files.split),
        timing=read_timing(folder),
        chosen=json_of(files.chosen) or {},
        environment=json_of(files.environment),
        transfer=_text(files.transfer),
        curves=read_curves(files),
        warnings=read_warnings(files.warnings),
        config=_text(files.config),
    )


def read_lines(path: Path) -> tuple[Line, ...] | None:
    """Read the lines of a table of a run folder; None if it is missing.

    Raises:
        LiverError: it is damaged or lacks columns.
    """
    if not path.exists():
        return None
    return tuple(read_rows(path, _COLUMNS[path.stem], _CURE))  # a run without test cases leaves an empty file


def number(text: str | None) -> float | None:
    """Return the number in a cell; None if it is empty.

    Raises:
        ValueError: it is no number.
    """
    return float(text) if text else None


def mode_of(contents: Contents) -> str:
    """Return the end of a table's caption that names the scoring rules; empty if the run has none."""
    mode = contents.metrics.get("mode", contents.settings.get("scores.mode"))
    return f"; mode {mode}" if mode else ""


def _hydra(folder: Path) -> dict[str, Any]:
    """Return what Hydra's own part of the config says; little of a run that was not started by a command."""
    path = RunFolder(folder).hydra_config
    with parsing(path, _CURE):
        hydra = read_yaml(path, _CURE).get("hydra") or {} if path.exists() else {}
        task = hydra.get("overrides", {}).get("task")
        sources = hydra.get("runtime", {}).get("config_sources") or ()
        return {
            "choices": {**hydra.get("runtime", {}).get("choices", {})},
            "overrides": None if task is None else [str(override) for override in task],
            "swept": hydra.get("mode") == "MULTIRUN",
            "job": str(hydra.get("job", {}).get("config_name") or "train"),
            "config_folders": [str(each["path"]) for each in sources if each.get("provider") == "command-line"],
        }


def _split(path: Path) -> dict[str, list[str]] | None:
    content = json_of(path)
    if content is None:
        return None
    with parsing(path, _CURE):
        return {part: [str(name) for name in content[part]] for part in PARTS}


def _text(path: Path) -> str | None:
    return read_text(path, _CURE) if path.exists() else None
