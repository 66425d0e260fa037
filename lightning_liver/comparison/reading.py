"""Figures that stand beside Dice per case: how much of it is owed to cases without the structure."""

from collections.abc import Mapping, Sequence

import numpy as np

from lightning_liver.comparison.runs import LESION_FIGURES, Score
from lightning_liver.tables import Row, text_table

NOTHING_FOUND = "finds nothing"
NOTHING_PREDICTED = "predicts nothing"


def reading_text(rows: Sequence[Score], structure: str, lesions: Mapping[str, Mapping[str, float]]) -> str:
    """Return a table of what Dice per case hides, by configuration; nothing if it hides nothing.

    A case without the structure scores 1 if nothing is predicted: a network that predicts nothing at all has the
    fraction of such cases as its mean.

    Args:
        lesions: recall and precision of each run, by the names of LESION_FIGURES.
    """
    own = [row for row in rows if row.structure == structure and row.dice is not None]
    empty = empty_cases(own)
    figures = LESION_FIGURES if structure == "tumour" else ()
    table = [
        _row(name, [row for row in own if row.configuration == name], empty, lesions, figures) for name in _names(own)
    ]
    if not empty and not any(row["remark"] for row in table) and all(row["global Dice"] is None for row in table):
        return ""
    table.sort(key=lambda row: (bool(row["remark"]), -float(row["Dice where present"] or 0)))
    columns = [name for name in table[0] if any(row[name] not in (None, "") for row in table)]
    shown = [{name: row[name] for name in columns} for row in table]
    cases = len({row.case for row in own})
    title = f"Beside it: {len(empty)} of {cases} cases have no {structure}, and score 1 where none is predicted"
    return f"{title}\n\n{text_table(shown)}"


def empty_cases(rows: Sequence[Score]) -> set[str]:
    """Return the cases without the structure, by their voxels; by a Dice of exactly 1 where these are unknown."""
    return {row.case for row in rows if (row.dice == 1 if row.true_voxels is None else row.true_voxels == 0)}


def remark(rows: Sequence[Score]) -> str:
    """Return whether a configuration predicts nothing, or nothing that is right, in all its runs."""
    if rows and all(row.predicted_voxels == 0 for row in rows):
        return NOTHING_PREDICTED
    return NOTHING_FOUND if rows and all(row.dice in (0, 1) for row in rows) else ""


def _row(
    name: str, rows: Sequence[Score], empty: set[str], found: Mapping[str, Mapping[str, float]], shown: Sequence[str]
) -> Row:
    present = [row for row in rows if row.case not in empty]
    return {
        "configuration": name,
        "Dice where present": _mean_by_patient(present),
        "global Dice": _global_dice(rows),
        **{name: _mean([found[row.run][name] for row in rows if name in found.get(row.run, {})]) for name in shown},
        "remark": remark(rows),
    }


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _mean_by_patient(rows: Sequence[Score]) -> float | None:
    patients: dict[str, list[float]] = {}
    for row in rows:
        patients.setdefault(row.patient, []).append(row.dice or 0.0)
    return float(np.mean([np.mean(own) for own in patients.values()])) if patients else None


def _global_dice(rows: Sequence[Score]) -> float | None:
    if any(row.true_voxels is None for row in rows):
        return None
    common = sum(row.common_voxels or 0 for row in rows)
    both = sum((row.true_voxels or 0) + (row.predicted_voxels or 0) for row in rows)
    return 2 * common / both if both else None


def _names(rows: Sequence[Score]) -> list[str]:
    return sorted({row.configuration for row in rows})
