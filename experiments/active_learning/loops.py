"""Loops of the study: their results table, its reading, and what labelling a strategy saves."""

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lightning_liver.run_folder import RunFolder
from lightning_liver.tables import Row, write_csv

ROUNDS = 4
STRUCTURES = ("liver", "tumour")
EFFORTS = {"slices": 1.0, "contour_mm": 1000.0}  # columns of curve.csv, and what they are divided by to be shown

SeedScores = dict[str, dict[int, dict[str, float]]]


class Curve(NamedTuple):
    """Mean learning curve of a strategy over seeds: a value for each round.

    Args:
        effort: of each column of EFFORTS.
        dice: of each structure.
    """

    effort: Mapping[str, Sequence[float]]
    dice: Mapping[str, Sequence[float]]


def rows_of_loop(workspace: Path) -> list[Row]:
    """Return a row for each round and test patient of a complete loop; none of another one."""
    curve = _read(workspace / "curve.csv") if (workspace / "curve.csv").is_file() else []
    if len(curve) < ROUNDS:
        return []
    seed, strategy = int(workspace.name.split("-")[1]), _strategy(workspace.name)
    rows: list[Row] = []
    for point in curve:
        dice: dict[str, dict[str, str]] = {}
        for line in _read(RunFolder(workspace / "rounds" / point["round"]).cases):
            dice.setdefault(line["patient"], {})[line["structure"]] = line["dice"]
        efforts = {name: point[name] for name in ("cases", "slices", "slices_changed", "voxels", "contour_mm")}
        for patient, own in dice.items():
            row: Row = {"strategy": strategy, "seed": seed, "round": point["round"], **efforts}
            scores = {structure: own.get(structure, "") for structure in STRUCTURES}
            rows.append({**row, "patient": patient, **scores})
    return rows


def _strategy(name: str) -> str:
    """Return core_set for the folder seed-0-strategy-core-set-77a823d6 of a sweep."""
    return "_".join(name.split("-")[3:-1])


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def merge(path: Path, found: Iterable[Row]) -> list[dict[str, str]]:
    """Write the rows of a results table and of further loops, and return them; a loop found again replaces its rows."""
    new = [{name: str(value) for name, value in row.items()} for row in found]
    again = {(row["strategy"], row["seed"]) for row in new}
    known = _read(path) if path.is_file() else []
    rows = [row for row in known if (row["strategy"], row["seed"]) not in again] + new
    rows.sort(key=lambda row: (row["strategy"], int(row["seed"]), int(row["round"]), int(row["patient"])))
    write_csv(path, rows)
    return rows


def areas(rows: Iterable[Mapping[str, str]], structure: str, rounds: Sequence[int]) -> SeedScores:
    """Return each patient's mean Dice over some rounds, as {strategy: {seed: {patient: Dice}}}."""
    found: dict[tuple[str, int, str], list[float]] = {}
    for row in rows:
        if row[structure] and int(row["round"]) in rounds:
            found.setdefault((row["strategy"], int(row["seed"]), row["patient"]), []).append(float(row[structure]))
    table: SeedScores = {}
    for (strategy, seed, patient), dices in found.items():
        table.setdefault(strategy, {}).setdefault(seed, {})[patient] = float(np.mean(dices))
    return table


def curves(rows: Sequence[Mapping[str, str]]) -> dict[str, Curve]:
    """Return the mean curve of each strategy, over the seeds that all strategies have."""
    strategies = sorted({row["strategy"] for row in rows})
    seeds = set.intersection(*({row["seed"] for row in rows if row["strategy"] == each} for each in strategies))
    made = {}
    for strategy in strategies:
        own = [row for row in rows if row["strategy"] == strategy and row["seed"] in seeds]
        by_round = [[row for row in own if row["round"] == str(number)] for number in range(1, ROUNDS + 1)]
        made[strategy] = Curve(
            {name: [float(np.mean([float(row[name]) for row in each])) for each in by_round] for name in EFFORTS},
            {s: [_mean([float(row[s]) for row in each if row[s]]) for each in by_round] for s in STRUCTURES},
        )
    return made


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else math.nan


def effort_at(curve: Curve, structure: str, dice: float, effort: str) -> float | None:
    """Return the effort at which a curve first reaches a Dice, between its rounds by a straight line; None if never."""
    points = list(zip(curve.effort[effort], curve.dice[structure], strict=True))
    if points[0][1] >= dice:
        return points[0][0]
    for (before, low), (after, high) in pairwise(points):
        if high >= dice:
            return before + (after - before) * (dice - low) / (high - low)
    return None
