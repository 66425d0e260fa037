"""Scores of a run's test cases, read from cases.csv and losses.csv."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from lightning_liver.metrics.intervals import patient_means
from lightning_liver.readers import parsing, read_rows
from lightning_liver.run_folder import NAMES

_DICE_DECIMALS = 6  # results.csv has so many: what is read from it equals what is read from the folders
_LOSS_DIGITS = 6

_CURE = f"remove {NAMES.metrics} beside it and run it again"

VOXELS = ("true_voxels", "predicted_voxels", "common_voxels")

_Read = TypeVar("_Read")


class ScoredCase(NamedTuple):
    """A line of cases.csv; voxels are None where a results.csv of an earlier version has none."""

    patient: str
    case: str
    structure: str
    dice: float | None
    true_voxels: int | None = None
    predicted_voxels: int | None = None
    common_voxels: int | None = None


def read_cases(path: Path) -> tuple[ScoredCase, ...]:
    """Read the lines of a cases.csv, sorted by patient, case and structure.

    Raises:
        LiverError: it is missing or damaged.
    """
    return _read(path, ("patient", "case", "structure", "dice"), _cases)


def read_losses(path: Path) -> dict[str, float]:
    """Return the mean over patients of each loss in a losses.csv, scans of a patient averaged first; empty without it.

    A loss that is not finite for every case is left out: the mean of the finite ones would flatter it.

    Raises:
        LiverError: it is damaged.
    """
    return _read(path, ("patient", "loss", "value"), _losses) if path.exists() else {}


def _read(path: Path, columns: Sequence[str], parse: Callable[[list[dict[str, str]]], _Read]) -> _Read:
    rows = read_rows(path, columns, _CURE)  # a run without test cases leaves an empty file
    with parsing(path, _CURE):
        return parse(rows)


def _cases(rows: Sequence[Mapping[str, str]]) -> tuple[ScoredCase, ...]:
    cases = [
        ScoredCase(r["patient"], r["case"], r["structure"], _rounded(_number(r["dice"])), *_voxels(r)) for r in rows
    ]
    return tuple(sorted(cases, key=lambda case: case[:3]))


def _losses(rows: Sequence[Mapping[str, str]]) -> dict[str, float]:
    means = {}
    for loss in sorted({row["loss"] for row in rows}):
        mine = [row for row in rows if row["loss"] == loss]
        values = [_number(row["value"]) for row in mine]
        if None not in values:
            mean = patient_means(values, [row["patient"] for row in mine]).mean()
            means[loss] = float(f"{mean:.{_LOSS_DIGITS}g}")
    return means


def _number(text: str) -> float | None:
    number = float(text) if text else math.nan
    return number if math.isfinite(number) else None


def _voxels(row: Mapping[str, str]) -> list[int]:
    """Return the counts of VOXELS; nothing if one is missing."""
    counts = [int(row[name]) for name in VOXELS if row.get(name)]
    return counts if len(counts) == len(VOXELS) else []


def _rounded(dice: float | None) -> float | None:
    return None if dice is None else round(dice, _DICE_DECIMALS)
