"""Tables of labelled slices, for training on some slices of a case."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from lightning_liver.data.store import CaseRecord
from lightning_liver.errors import LiverError
from lightning_liver.readers import read_table
from lightning_liver.tables import write_csv

_COLUMNS = ("case", "z")
_DIGITS = 9  # of a slice number; Python refuses to parse thousands


def write_labelled_slices(path: Path, slices: Iterable[tuple[str, int]]) -> None:
    """Write a table of cases and slices, numbered from 0 at the feet."""
    write_csv(path, [dict(zip(_COLUMNS, each, strict=True)) for each in slices], _COLUMNS)


def read_labelled_slices(path: Path, records: Sequence[CaseRecord]) -> Mapping[str, frozenset[int]]:
    """Read the slices of each case.

    Args:
        records: the training cases; every line must name a slice of one of them.

    Raises:
        LiverError: the table cannot be read, lacks a column, or a line is wrong.
    """
    depths = {record.name: record.shape[0] for record in records}
    found: dict[str, set[int]] = {}
    header, rows = read_table(path.expanduser(), _COLUMNS)
    for number, cells in rows:
        case, z = (cells[header.index(column)].strip() for column in _COLUMNS)
        if case not in depths:
            raise LiverError(f"data.labelled_slices={path}: line {number} names case {case!r}, which does not train")
        if not z.isdecimal() or len(z) > _DIGITS or int(z) >= depths[case]:
            raise LiverError(
                f"data.labelled_slices={path}: line {number}: expected z from 0 to {depths[case] - 1}, not {z!r}"
            )
        found.setdefault(case, set()).add(int(z))
    if not found:
        raise LiverError(f"data.labelled_slices={path}: expected the header case,z and a slice; it has none")
    return {case: frozenset(slices) for case, slices in found.items()}
