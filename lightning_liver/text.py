"""Rows as aligned text for a terminal."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

Value = str | int | float | bool | np.generic | None
Row = Mapping[str, Value]

MISSING = "-"


def text_table(rows: Sequence[Row]) -> str:
    """Rows as aligned text for a terminal: words left, numbers right with three decimals, "-" for None and NaN."""
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
    """Names of all columns, in order of appearance."""
    return list(dict.fromkeys(name for row in rows for name in row))


def or_none(value: Value) -> Value:
    """A plain value; None for NaN and infinity."""
    plain = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(plain, float) and not math.isfinite(plain) else plain


def _cell(value: Value) -> str:
    plain = or_none(value)
    if plain is None:
        return MISSING
    return f"{plain:.3f}" if isinstance(plain, float) else str(plain)
