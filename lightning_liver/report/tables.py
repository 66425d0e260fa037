"""Tables of results: CSV and JSON files that are there whole or not at all, aligned text."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from lightning_liver.files import replacing, write_whole
from lightning_liver.text import MISSING, Row, Value, columns, or_none, text_table

__all__ = ["MISSING", "Row", "Value", "text_table", "write_cases_csv", "write_json_whole"]


def write_cases_csv(path: Path, rows: Sequence[Row], header: Sequence[str] = ()) -> None:
    """Write a row for each case and structure, columns in order of appearance, None and NaN as empty cells.

    Args:
        header: columns that are there even without a row.
    """
    with replacing(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(
            file, fieldnames=list(dict.fromkeys([*header, *columns(rows)])), restval="", lineterminator="\n"
        )
        writer.writeheader()
        writer.writerows({name: or_none(value) for name, value in row.items()} for row in rows)


def write_json_whole(path: Path, mapping: Mapping[str, Value]) -> None:
    """Write a flat mapping with sorted keys, NaN and infinity as null, so that equal results make equal files.

    Raises:
        TypeError: a value is not a plain number, text, truth value or None.
    """
    plain = {name: or_none(value) for name, value in mapping.items()}
    for name, value in plain.items():
        if not isinstance(value, str | int | float | None):
            raise TypeError(
                f"{name} is a {type(value).__name__}, but the file is flat: numbers, text, true, false, null"
            )
    write_whole(path, json.dumps(plain, indent=2, sort_keys=True, allow_nan=False) + "\n")
