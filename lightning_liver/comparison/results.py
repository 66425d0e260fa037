"""results.csv: a row for each complete run with all that a comparison needs, so that run folders can be deleted."""

import csv
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from lightning_liver.comparison.runs import (
    COMPLETE,
    LESION_FIGURES,
    Run,
    ScoredCase,
    complete_runs,
    configurations,
    read_runs,
)
from lightning_liver.config import VERSION, renamed, without_hash
from lightning_liver.errors import LiverError
from lightning_liver.files import replacing
from lightning_liver.metrics.intervals import patient_means
from lightning_liver.readers import parsing, read_table
from lightning_liver.run_folder import NAMES
from lightning_liver.runs.scores import VOXELS
from lightning_liver.runs.settings import learnt
from lightning_liver.types import STRUCTURES

NAME = "results.csv"

_DICE = tuple(f"{structure}_dice" for structure in STRUCTURES)
_HEAD = ("run", "configuration", "seed", "fold", "epochs", "steps", "seconds", "patients", "scans", *_DICE)
_VERSION = "version"  # of what options mean; tables of earlier versions lack it
_LOSS, _LESION, _CASES = "loss/", "lesion/", "cases"  # columns after the cases are settings
_VOXELS = "_voxels"  # of a case: true, predicted and common
_DECIMALS = 6


def gather(places: Iterable[Path]) -> list[Run]:
    """Read the runs of run folders, folders above them, results.csv files and folders with one; each name once.

    The only row that has the name of a complete run but for its hash is of an earlier version.
    Of equal names a complete run wins over an incomplete one, then a folder over a row, then the earlier place.

    Raises:
        LiverError: a place has no run, or its files are damaged.
    """
    folders, tables = [], []
    for place in places:
        table = place if place.is_file() else place / NAME
        if table.is_file():
            tables.append(table)
        if not table.is_file() or (place.is_dir() and any(place.rglob(str(NAMES.config)))):
            folders.append(place)
    runs = read_runs(folders)
    rows: dict[str, Run] = {}
    for run in (run for table in tables for run in read_results(table)):
        rows.setdefault(run.name, run)
    complete = {run.name for run in complete_runs(runs)}
    kept = [run for run in runs if run.status == COMPLETE or run.name not in rows]
    listed = Counter(map(without_hash, rows))  # several, where a study has several commands
    again = {name for name in map(without_hash, complete) if listed[name] == 1}
    return kept + [
        replace(run, version=min(run.version, VERSION - 1)) if without_hash(name) in again else run
        for name, run in rows.items()
        if name not in complete
    ]


def write_results(path: Path, runs: Sequence[Run], within: Sequence[str] = ()) -> None:
    """Write the complete runs, by configuration, fold, seed and name; equal runs make equal files.

    Args:
        within: options that are left out of the names of configurations.

    Raises:
        LiverError: two runs have the same name.
    """
    done = complete_runs(runs)
    for run, other in pairwise(done):
        if run.name == other.name:
            raise LiverError(
                f"{run.folder} and {other.folder} have the same name, but {NAME} needs a name for each; rename one"
            )
    names: dict[Path, str] = {}
    for version in {run.version for run in done}:
        names |= configurations([run for run in done if run.version == version], within)
    losses = sorted({loss for run in done for loss in run.losses})
    lesions = [name for name in LESION_FIGURES if any(name in run.lesions for run in done)]
    options = sorted({option for run in done for option in run.settings})
    done.sort(key=lambda run: (names[run.folder], run.fold, run.seed, run.name))
    with replacing(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(
            [
                *_HEAD,
                _VERSION,
                *(f"{_LOSS}{loss}" for loss in losses),
                *(f"{_LESION}{n}" for n in lesions),
                _CASES,
                *options,
            ]
        )
        for run in done:
            writer.writerow(
                [
                    *_head(run, names[run.folder]),
                    run.version,
                    *(run.losses.get(loss) for loss in losses),
                    *(run.lesions.get(name) for name in lesions),
                    json.dumps(_by_case(run.cases), ensure_ascii=False, separators=(",", ":")),
                    *(_cell(run.settings[option]) if option in run.settings else "" for option in options),
                ]
            )


def read_results(path: Path) -> list[Run]:
    """Read the runs of a results.csv, all of them complete.

    Raises:
        LiverError: the file is damaged, or not written by liver-compare.
    """
    cure = (
        f"correct the line, restore the committed file (git checkout -- {path}), or delete it and write it from the "
        "run folders again with liver-compare --write"
    )
    header, rows = read_table(path, (*_HEAD, _CASES), cure)
    with parsing(path, cure, line=1):
        _check(header)
    runs: dict[str, Run] = {}
    for line, cells in rows:
        with parsing(path, cure, line=line):
            run = _run(header, cells)
            if run.name in runs:
                raise ValueError(f"the run {run.name} is listed twice")
            runs[run.name] = run
    return list(runs.values())


def _head(run: Run, configuration: str) -> list[object]:
    counts = len({case.patient for case in run.cases}), len({case.case for case in run.cases})
    trained = (run.epochs, run.steps, run.seconds)
    return [run.name, configuration, run.seed, run.fold, *trained, *counts, *(_mean(run, s) for s in STRUCTURES)]


def _mean(run: Run, structure: str) -> float | None:
    mine = [case for case in run.cases if case.structure == structure]
    means = patient_means([case.dice for case in mine], [case.patient for case in mine])
    return round(float(means.mean()), _DECIMALS) if means.size else None


def _by_case(cases: Iterable[ScoredCase]) -> list[dict[str, object]]:
    found: dict[tuple[str, str], dict[str, object]] = {}
    for each in cases:
        empty = {"case": each.case, "patient": each.patient} | dict.fromkeys(STRUCTURES)
        row = found.setdefault((each.patient, each.case), empty)
        row[each.structure] = each.dice
        if each.true_voxels is not None:
            row[f"{each.structure}{_VOXELS}"] = [getattr(each, name) for name in VOXELS]
    return list(found.values())


def _cell(value: object) -> str:
    """Return a value as one line of YAML; it is never empty, since an empty cell means that the option is absent."""
    style = '"' if isinstance(value, str) and "\n" in value else None
    text: str = yaml.safe_dump(value, default_flow_style=True, default_style=style, sort_keys=False, width=float("inf"))
    return text.removesuffix("...\n").removesuffix("\n")


def _check(header: Sequence[str]) -> None:
    if not header:
        raise ValueError("the file is empty")
    before = header[: header.index(_CASES)]
    if unknown := [name for name in before if name not in (*_HEAD, _VERSION) and not name.startswith((_LOSS, _LESION))]:
        raise ValueError(f"unknown column {', '.join(unknown)} before {_CASES}")


def _run(header: Sequence[str], cells: Sequence[str]) -> Run:
    last = header.index(_CASES)
    row = dict(zip(header[: last + 1], cells, strict=False))
    options = zip(header[last + 1 :], cells[last + 1 :], strict=True)
    if not Path(row["run"]).name:
        raise ValueError("a run without a name")
    return Run(
        folder=Path(row["run"]),
        status=COMPLETE,
        reason="",
        settings=learnt(renamed({option: _value(option, cell) for option, cell in options if cell})),
        seed=int(row["seed"]),
        fold=int(row["fold"]),
        cases=tuple(_case(each, structure) for each in json.loads(row[_CASES]) for structure in STRUCTURES),
        losses=_figures(row, _LOSS),
        lesions=_figures(row, _LESION),
        epochs=_whole(row["epochs"]),
        steps=_whole(row["steps"]),
        seconds=float(row["seconds"]) if row["seconds"] else None,
        version=int(row.get(_VERSION) or 1),
    )


def _figures(row: Mapping[str, str], kind: str) -> dict[str, float]:
    return {name.removeprefix(kind): _finite(row[name]) for name in row if name.startswith(kind) and row[name]}


def _case(each: Mapping[str, Any], structure: str) -> ScoredCase:
    dice = each[structure]
    voxels = [int(count) for count in each.get(f"{structure}{_VOXELS}", ())]
    if len(voxels) not in (0, len(VOXELS)):
        raise ValueError(f"{structure}{_VOXELS} needs {len(VOXELS)} numbers")
    return ScoredCase(
        str(each["patient"]), str(each["case"]), structure, None if dice is None else _finite(dice), *voxels
    )


def _finite(value: str | float) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{value} is not a score")
    return number


@cache  # most cells of a column are equal, and YAML is slow
def _value(option: str, cell: str) -> object:
    try:
        return yaml.safe_load(cell)
    except yaml.YAMLError as error:
        raise ValueError(f"{option} is {cell}, which is not YAML") from error


def _whole(cell: str) -> int | None:
    return int(cell) if cell else None
