"""Run folders read back: which are complete, how their configurations differ, what each scored on each case."""

import csv
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from lightning_liver.errors import LiverError

COMPLETE, FAILED, PRUNED, BEGUN, EMPTY = "complete", "failed", "pruned", "begun", "empty"
UNKNOWN = "?"  # the configuration of a folder without a config

_FAILED_MARK = "FAILED:"
_REPEATS = ("seed", "data.fold")  # repeat a configuration, do not make another one
# where files lie, how many processes read them and how a run was taken up again say nothing of what was learnt
_FREE_PARTS = ("resume", "trial", "logger", "hydra", "data.prepare", "data.source")
_FREE = ("data.root", "data.patients", "data.store", "data.workers", "data.loaders", "data.skip_bad")

Settings = Mapping[str, object]


class Score(NamedTuple):
    """Dice of one structure of one scan, as one run saw it; None where it is undefined."""

    run: str
    configuration: str
    seed: int
    fold: int
    patient: str
    case: str
    structure: str
    dice: float | None


class Case(NamedTuple):
    """A line of cases.csv."""

    patient: str
    case: str
    structure: str
    dice: float | None


@dataclass(frozen=True)
class Run:
    """A run folder; `reason` says why it failed, `cases` is empty unless it is complete."""

    folder: Path
    status: str
    reason: str
    settings: Settings = field(repr=False)
    seed: int
    fold: int
    cases: tuple[Case, ...] = field(repr=False)


def read_runs(folders: Iterable[Path]) -> list[Run]:
    """The runs in and below some folders, each once, by path.

    Folders of other commands are left out; an empty folder just below one of those given is a run that did nothing yet.

    Raises:
        LiverError: a folder is not there, has no run, or a run's files are damaged.
    """
    found: set[Path] = set()
    for folder in folders:
        if not folder.is_dir():
            raise LiverError(f"{folder}: no such folder. Give a run folder or one above it, such as multirun/STUDY.")
        here = {path.parents[1].resolve() for path in folder.rglob(".hydra/config.yaml")}
        hollow = {path.resolve() for path in folder.iterdir() if path.is_dir() and not any(path.iterdir())}
        if not here | hollow:
            raise LiverError(
                f"{folder}: no run in it or below. A run folder has a .hydra/config.yaml; is it elsewhere?"
            )
        found |= here | hollow
    return [run for run in map(_read_run, sorted(found)) if run is not None]


def scores(runs: Sequence[Run]) -> list[Score]:
    """A row for each run, scan and structure of the complete runs."""
    names = configurations(runs)
    return [
        Score(run.folder.name, names[run.folder], run.seed, run.fold, *case)
        for run in runs
        if run.status == COMPLETE
        for case in run.cases
    ]


def configurations(runs: Sequence[Run]) -> dict[Path, str]:
    """A name for the configuration of each run: what differs between the runs, seed and fold apart.

    A group of the config whose target differs is named by its choice (loss=focal); its options are named where runs
    of the same choice differ in them (loss=focal loss.gamma=2). Runs that differ in nothing are "all".
    """
    known = [run for run in runs if run.settings]
    choices = {run.folder: _choices(run.settings) for run in known}
    chosen = _differing(list(choices.values()))
    named = {run.folder: UNKNOWN for run in runs}
    for run in known:
        own = choices[run.folder]
        parts = [f"{group}={own[group]}" for group in chosen if group in own]
        alike = {
            group: [other.settings for other in known if choices[other.folder].get(group) == own.get(group)]
            for group in chosen
        }
        for group, settings in [("", [other.settings for other in known]), *alike.items()]:
            mine = [_of_group(each, group, chosen) for each in settings]
            parts += [f"{name}={run.settings[name]}" for name in _differing(mine) if name in run.settings]
        named[run.folder] = " ".join(parts) or "all"
    return named


def status_rows(runs: Sequence[Run]) -> list[dict[str, str | int]]:
    """A row for each run: what it is, how far it is, why it failed; for text_table."""
    names = configurations(runs)
    return [
        {
            "run": run.folder.name,
            "configuration": names[run.folder],
            "seed": run.seed,
            "fold": run.fold,
            "status": run.status,
            "reason": run.reason,
        }
        for run in runs
    ]


def _read_run(folder: Path) -> Run | None:
    settings = _settings(folder)
    if settings and "loss._target_" not in settings:
        return None  # of liver-prepare, liver-summary and the like
    status, reason = _status(folder)
    cases = _cases(folder / "cases.csv") if status == COMPLETE else ()
    seed, fold = (settings.get(name) for name in _REPEATS)
    own = {name: value for name, value in settings.items() if name not in _REPEATS and not _is_free(name)}
    return Run(folder, status, reason, own, _whole(seed), _whole(fold), cases)


def _status(folder: Path) -> tuple[str, str]:
    if (folder / "metrics.json").exists():
        return COMPLETE, ""
    if pruned := _pruned(folder / "chosen.json"):
        return PRUNED, pruned
    checkpoint, reason = folder / "checkpoints" / "last.ckpt", ""
    for log in sorted(folder.glob("*.log"), key=_modified):
        # a checkpoint younger than the log: taken up again after the failure that the log tells of
        if not checkpoint.exists() or _modified(checkpoint) <= _modified(log):
            reason = _reason(log) or reason
    if reason:
        return FAILED, reason
    return (BEGUN if checkpoint.exists() or (folder / "chosen.json").exists() else EMPTY), ""


def _pruned(chosen: Path) -> str:
    """Why the trial that the run is was given up, if it was."""
    try:
        return str(json.loads(chosen.read_text()).get("pruned") or "")
    except (OSError, ValueError):
        return ""


def _reason(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if _FAILED_MARK in line]
    return lines[-1].partition(_FAILED_MARK)[2].strip() or "without a word" if lines else ""


def _modified(path: Path) -> int:
    return path.stat().st_mtime_ns


def _settings(folder: Path) -> dict[str, object]:
    """The config of a run as dotted names; interpolations stay as they are written."""
    path = folder / ".hydra" / "config.yaml"
    if not path.exists():
        return {}
    try:
        tree: Any = yaml.safe_load(path.read_text())
        choices: Any = yaml.safe_load((folder / ".hydra" / "hydra.yaml").read_text())["hydra"]["runtime"]["choices"]
    except (OSError, KeyError, TypeError):
        choices = {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise LiverError(f"{path}: cannot be read. Remove the run's folder and run it again.\n{error}") from error
    if not isinstance(tree, dict):
        raise LiverError(f"{path}: not a config. Remove the run's folder and run it again.")
    return _flat(tree) | {f"{name}._choice_": choice for name, choice in choices.items() if name in tree}


def _flat(tree: Mapping[str, Any], above: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for name, value in tree.items():
        flat |= _flat(value, f"{above}{name}.") if isinstance(value, dict) else {f"{above}{name}": value}
    return flat


def _choices(settings: Settings) -> dict[str, str]:
    """For each group what was chosen: its yaml's name, else the function or class that it builds."""
    chosen: dict[str, str] = {}
    for name, value in settings.items():
        group, _, rest = name.partition(".")
        if rest == "_target_":
            chosen.setdefault(group, str(value).rpartition(".")[2])
        if rest == "_choice_" and value is not None:
            chosen[group] = str(value)
    return chosen


def _differing(settings: Sequence[Settings]) -> list[str]:
    names = dict.fromkeys(name for each in settings for name in each if not name.endswith("._choice_"))
    return [name for name in names if len({json.dumps(each.get(name), default=str) for each in settings}) > 1]


def _of_group(settings: Settings, group: str, chosen: Sequence[str]) -> Settings:
    """The options of a group; of no group: those of all groups that were not chosen between."""
    above = {name: name.partition(".")[0] for name in settings}
    return {name: value for name, value in settings.items() if (above[name] if above[name] in chosen else "") == group}


def _is_free(name: str) -> bool:
    return name in _FREE or name.startswith(tuple(f"{part}." for part in _FREE_PARTS)) or name in _FREE_PARTS


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0


def _cases(path: Path) -> tuple[Case, ...]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            lines = csv.DictReader(file)
            return tuple(Case(r["patient"], r["case"], r["structure"], _number(r["dice"])) for r in lines)
    except (OSError, KeyError, ValueError, TypeError, csv.Error) as error:
        raise LiverError(
            f"{path}: not the cases of a complete run ({error}). Remove metrics.json beside it and run it again."
        ) from error


def _number(text: str) -> float | None:
    number = float(text) if text else math.nan
    return number if math.isfinite(number) else None
