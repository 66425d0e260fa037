"""Tables of results: CSV and JSON files, written whole or not at all, and aligned text."""

import csv
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from lightning_liver.files import replacing, write_whole

Value = str | int | float | bool | np.generic | None
Row = Mapping[str, Value]

MISSING = "-"


def text_table(rows: Sequence[Row]) -> str:
    """Format rows as aligned text: words left, numbers right with three decimals, "-" for None and NaN."""
    names = columns(rows)
    cells = [[name, *(_cell(row.get(name)) for row in rows)] for name in names]
    right = [all(not isinstance(row.get(name), str) for row in rows) for name in names]
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


def columns(rows: Sequence[Row]) -> list[str]:
    """Return the names of all columns, in order of appearance."""
    return list(dict.fromkeys(name for row in rows for name in row))


def or_none(value: Value) -> Value:
    """Return a plain value, None for NaN and infinity."""
    plain = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(plain, float) and not math.isfinite(plain) else plain


def _cell(value: Value) -> str:
    plain = or_none(value)
    if plain is None:
        return MISSING
    return f"{plain:.3f}" if isinstance(plain, float) else str(plain)


def duration(seconds: float) -> str:
    """Format a time in seconds, minutes or hours, whichever is easy to read."""
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} hours"


def write_csv(path: Path, rows: Sequence[Row], header: Sequence[str] = ()) -> None:
    """Write rows, columns in order of appearance, None and NaN as empty cells.

    Args:
        header: columns written even without a row.
    """
    with replacing(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(
            file, fieldnames=list(dict.fromkeys([*header, *columns(rows)])), restval="", lineterminator="\n"
        )
        writer.writeheader()
        writer.writerows({name: or_none(value) for name, value in row.items()} for row in rows)


def write_json_whole(path: Path, mapping: Mapping[str, Value]) -> None:
    """Write a flat mapping with sorted keys, NaN and infinity as null, so that equal results give equal files.

    Raises:
        TypeError: a value is not a plain number, text, truth value or None.
    """
    plain = {name: or_none(value) for name, value in mapping.items()}
    for name, value in plain.items():
        if not isinstance(value, str | int | float | None):
            raise TypeError(f"{name}: expected a number, text, true, false or null, got a {type(value).__name__}")
    write_whole(path, json.dumps(plain, indent=2, sort_keys=True, allow_nan=False) + "\n")
