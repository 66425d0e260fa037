"""Tables of results: CSV and JSON files that are there whole or not at all, aligned text, means with intervals."""

import csv
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.stats import bootstrap

from lightning_liver.files import replacing, write_whole

Value = str | int | float | bool | np.generic | None
Row = Mapping[str, Value]

MISSING = "-"
_FEWEST_PATIENTS = 3  # with two, every resample is one of three values
_RESAMPLES = 9999


class Mean(NamedTuple):
    """A mean over patients and the ends of its interval; None where there is too little to say."""

    mean: float | None
    low: float | None
    high: float | None


def write_cases_csv(path: Path, rows: Sequence[Row]) -> None:
    """Write a row for each case and structure, columns in order of appearance, None and NaN as empty cells."""
    with replacing(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=_columns(rows), restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: _or_none(value) for name, value in row.items()} for row in rows)


def write_json_whole(path: Path, mapping: Mapping[str, Value]) -> None:
    """Write a flat mapping with sorted keys, NaN and infinity as null, so that equal results make equal files.

    Raises:
        TypeError: a value is not a plain number, text, truth value or None.
    """
    plain = {name: _or_none(value) for name, value in mapping.items()}
    for name, value in plain.items():
        if not isinstance(value, str | int | float | None):
            raise TypeError(
                f"{name} is a {type(value).__name__}, but the file is flat: numbers, text, true, false, null"
            )
    write_whole(path, json.dumps(plain, indent=2, sort_keys=True, allow_nan=False) + "\n")


def text_table(rows: Sequence[Row]) -> str:
    """Rows as aligned text for a terminal: words left, numbers right with three decimals, "-" for None and NaN."""
    columns = _columns(rows)
    cells = [[name, *(_cell(row.get(name)) for row in rows)] for name in columns]
    right = [all(not isinstance(row.get(name), str) for row in rows) for name in columns]
    widths = [max(map(len, column)) for column in cells]
    lines = [
        "  ".join(
            text.rjust(width) if is_number else text.ljust(width)
            for text, width, is_number in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in zip(*cells, strict=True)
    ]
    rule = "  ".join("-" * width for width in widths)
    return "\n".join([*lines[:1], rule, *lines[1:]]) if lines else ""


def mean_over_patients(scores: Sequence[float | None], patients: Sequence[str]) -> Mean:
    """Mean over patients with its 95 % bootstrap interval (BCa); the scans of a patient are averaged first.

    Args:
        scores: one for each scan; None and NaN are left out.
        patients: to whom each scan belongs.

    Returns:
        No interval for fewer than three patients, nothing at all for none. Equal input gives equal output.

    Source: Efron 1987, doi:10.1080/01621459.1987.10478410.
    """
    values = _patient_means(scores, patients)
    if not values.size:
        return Mean(None, None, None)
    mean = float(values.mean())
    if values.size < _FEWEST_PATIENTS:
        return Mean(mean, None, None)
    if np.ptp(values) == 0:  # BCa divides by the spread
        return Mean(mean, mean, mean)
    random = np.random.default_rng(0)
    interval = bootstrap((values,), np.mean, n_resamples=_RESAMPLES, random_state=random).confidence_interval
    return Mean(mean, float(interval.low), float(interval.high))


def _patient_means(scores: Sequence[float | None], patients: Sequence[str]) -> np.ndarray:
    scans: dict[str, list[float]] = {}
    for score, patient in zip(scores, patients, strict=True):
        if score is not None and math.isfinite(score):
            scans.setdefault(patient, []).append(score)
    return np.array([np.mean(scans[patient]) for patient in sorted(scans)])


def _columns(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def _or_none(value: Value) -> Value:
    plain = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(plain, float) and not math.isfinite(plain) else plain


def _cell(value: Value) -> str:
    plain = _or_none(value)
    if plain is None:
        return MISSING
    return f"{plain:.3f}" if isinstance(plain, float) else str(plain)
