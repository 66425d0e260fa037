"""liver-runs: a table of training runs, the best of them, and what follows a sweep. Imports no Lightning."""

import json
import shutil
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from lightning_liver.errors import LiverError
from lightning_liver.run_folder import RunFolder
from lightning_liver.runs.overview import Line, training_runs
from lightning_liver.runs.status import COMPLETE, SEARCHED
from lightning_liver.tables import Row, text_table

DEFAULT = ("outputs", "multirun")  # where the commands write

_WIDTH = 120  # of a table that is not shown in a terminal
_GAP = 2  # between columns
_NARROWEST = 36  # of the column of differences, where a folder's name is long
_CUT = "…"
_MOST = 20  # lines of the table at the end of a sweep


def validation(line: Line) -> float | None:
    """Return the tumour Dice of validation cases, by which a best run is chosen; the liver's without a tumour."""
    return line.validation_liver if line.validation_tumour is None else line.validation_tumour


_Key = Callable[[Line], float | None]
SORTS: Mapping[str, _Key] = {
    "when": lambda line: line.when.timestamp(),
    "tumour": lambda line: line.tumour,
    "liver": lambda line: line.liver,
    "validation": validation,
}


def runs(places: Sequence[str], study: str | None, sort: str, *, best: bool, as_json: bool) -> str:
    """Return a table of the training runs in and below some folders, or the same as JSON.

    Args:
        places: folders; without any, those of DEFAULT that exist.
        study: only runs of this sweep or experiment.
        sort: a name of SORTS; the newest or the highest first.
        best: only the best complete run on each data set, chosen by validation cases.

    Raises:
        LiverError: a folder is missing, or there is no run.
    """
    folders = [Path(place) for place in places] or [Path(place) for place in DEFAULT if Path(place).is_dir()]
    found = training_runs(folders, study)
    if not found:
        where = " and ".join(map(str, folders or DEFAULT))
        of_study = f" of --study {study}" if study else ""
        raise LiverError(f"{where}: no training run{of_study}; name another folder, or train with python train.py")
    shown = sorted(best_runs(found) if best else found, key=_highest_first(SORTS[sort]))
    if not shown:
        raise LiverError(f"--best: none of {len(found)} runs is complete; leave it out to see them")
    return json.dumps([line.as_json() for line in shown], indent=1) if as_json else table(shown)


def best_runs(lines: Sequence[Line]) -> list[Line]:
    """Return the complete run of each data set with the highest Dice of validation cases: the test must not choose."""
    ranked = sorted((line for line in lines if _is_scored(line)), key=_highest_first(validation))
    return list({line.data: line for line in reversed(ranked)}.values())


def table(lines: Sequence[Line]) -> str:
    """Format runs as a table as wide as the terminal; longer texts are cut."""
    short = _short_names({option for line in lines for option in line.differs})
    rest, texts = [_scores(line) for line in lines], [_text(line, short) for line in lines]
    folders = [str(line.folder) for line in lines]
    room = shutil.get_terminal_size((_WIDTH, 0)).columns - len(text_table(rest).splitlines()[1]) - 2 * _GAP
    of_text, of_folder = (max(map(len, [name, *column])) for name, column in (("differs", texts), ("folder", folders)))
    if of_text + of_folder > room:
        of_folder = max(room - min(of_text, _NARROWEST), room // 3)
        of_text = room - of_folder
    rows = [
        {**row, "differs": _cut(text, of_text), "folder": _cut_middle(folder, of_folder)}
        for row, text, folder in zip(rest, texts, folders, strict=True)
    ]
    return text_table(rows)


def sweep_end(folder: Path) -> str:
    """Return what a sweep came to: its runs, the best of them, and the commands that go on from it.

    Raises:
        LiverError: the folder is missing.
    """
    lines = sorted(training_runs([folder]), key=_highest_first(validation))
    if not lines:
        return ""
    counts = ", ".join(f"{count} {status}" for status, count in Counter(line.status for line in lines).items())
    more = f"\n... and {len(lines) - _MOST} more: liver-runs {folder}" if len(lines) > _MOST else ""
    parts = [f"{folder}: {len(lines)} runs, {counts}", table(lines[:_MOST]) + more, *map(_best, best_runs(lines))]
    return "\n\n".join([*parts, _next(folder, lines)])


def _best(line: Line) -> str:
    scores = ", ".join(
        f"{name} {score:.3f}"
        for name, score in (("tumour", line.validation_tumour), ("liver", line.validation_liver))
        if score is not None
    )
    report = RunFolder(line.folder).report
    own = f"\nIts report: {report}" if report.is_file() else ""
    return f"Best on validation cases (Dice of {scores}): {line.folder}{own}"


def _next(folder: Path, lines: Sequence[Line]) -> str:
    commands = [("Compare", f"liver-compare {folder} --metric both")] if any(map(_is_scored, lines)) else []
    commands += [("Predict", f"liver-predict run={line.folder} input=SCANS output=MASKS") for line in best_runs(lines)]
    commands += [("List", f"liver-runs {folder}")]
    if any(line.status not in (COMPLETE, *SEARCHED) for line in lines):
        commands += [("Why not complete", f"liver-compare {folder} --status")]
    width = max(len(name) for name, _ in commands) + 1
    return "\n".join(f"{name + ':':<{width}} {command}" for name, command in commands)


def _is_scored(line: Line) -> bool:
    return line.status == COMPLETE and validation(line) is not None


def _highest_first(key: _Key) -> Callable[[Line], tuple[bool, float]]:
    """Return a key for sorted: the highest first, runs without a value last."""

    def sorting(line: Line) -> tuple[bool, float]:
        value = key(line)
        return value is None, 0.0 if value is None else -value

    return sorting


def _scores(line: Line) -> Row:
    return {
        "when": f"{line.when:%Y-%m-%d %H:%M}",
        "status": line.status,
        "data": line.data,
        "liver": line.liver,
        "tumour": line.tumour,
    }


def _short_names(options: Collection[str]) -> dict[str, str]:
    """Return the last part of each option's name, or all of it where several options end alike."""
    ends = Counter(map(_end, options))
    return {option: _end(option) if ends[_end(option)] == 1 else option for option in options}


def _text(line: Line, names: Mapping[str, str]) -> str:
    """Return what differs, and why or how far an incomplete run is."""
    differs = " ".join(f"{names[option]}={value}" for option, value in line.differs.items())
    if line.reason:
        return ": ".join(filter(None, [differs, line.reason]))
    return " ".join(filter(None, [differs, line.progress and f"({line.progress})"]))


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + _CUT


def _cut_middle(text: str, width: int) -> str:
    """Cut a path: its end has the hash that tells runs apart."""
    end = (width - 1) * 2 // 3
    return text if len(text) <= width else text[: width - 1 - end] + _CUT + text[-end:]


def _end(option: str) -> str:
    return option.rpartition(".")[2]
