"""Decision section: thresholds tuned on validation cases, and the gain of each step of post-processing."""

from collections.abc import Mapping
from typing import Any

from lightning_liver.report.html.blocks import Block, Cell, Column, Section, Table, Text, missing, note
from lightning_liver.report.numbers import number_text
from lightning_liver.run_folder import NAMES
from lightning_liver.runs.contents import Contents
from lightning_liver.types import STRUCTURES


def decision_section(contents: Contents) -> Section:
    """Make the section: thresholds in use and tuned, and the mean validation Dice of each decision rule."""
    title = "Thresholds and post-processing on validation cases"
    decision = contents.decision
    if decision is None:
        return Section("decision", title, [missing(f"This run has no {NAMES.decision}: no threshold was tuned.")])
    blocks: list[Block] = [Text(_thresholds(decision))]
    if decision.get("validation"):
        blocks.append(_table(decision["validation"]))
    blocks.append(note("Tuned on validation cases only, without any test case. Gains are against the first row."))
    return Section("decision", title, blocks)


def _thresholds(decision: Mapping[str, Any]) -> str:
    used, tuned = decision.get("thresholds") or {}, decision.get("tuned") or {}
    parts = [
        f"{structure}: {used[structure]:.3g}"
        + (f" (best on validation {tuned[structure]:.3g})" if structure in tuned else "")
        for structure in STRUCTURES
        if structure in used
    ]
    return f"Thresholds of the probability. {'; '.join(parts).capitalize()}." if parts else ""


def _table(validation: list[Mapping[str, Any]]) -> Table:
    first = validation[0]
    columns = [Column("Decision", numeric=False), *(Column(structure.capitalize()) for structure in STRUCTURES)]
    rows = [
        [Cell(str(row.get("what", ""))), *(_score(row.get(s), {} if row is first else first, s) for s in STRUCTURES)]
        for row in validation
    ]
    return Table("Mean Dice per validation case", columns, rows)


def _score(value: float | None, first: Mapping[str, Any], structure: str) -> Cell:
    before = first.get(structure)
    gain = "" if value is None or before is None else f"{round(value - before, 3) + 0.0:+.3f}"
    return Cell(number_text(value), gain)
