"""Runs of a study that need not be repeated: complete here, or listed in its results.csv."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning_liver.config import BUDGETS, budget_of
from lightning_liver.readers import parsing, read_rows
from lightning_liver.run_folder import RunFolder


def is_done(folder: Path, results: str | None, trainer: Any) -> bool:
    """Return True if a run folder is complete, or a results.csv lists it; see is_listed."""
    return RunFolder(folder).metrics.exists() or is_listed(folder.name, results, trainer)


def is_listed(run: str, results: str | None, trainer: Any) -> bool:
    """Return True if results.csv lists the run with at least the requested budget; False without that file.

    Args:
        trainer: options with max_epochs, max_steps and max_minutes, which are no part of a run's name.

    Raises:
        LiverError: the file is no table of runs.
    """
    path = Path(results).expanduser() if results else None
    if path is None or not path.exists():
        return False
    cure = "give a table of runs that liver-compare --write wrote, or set results=null to run everything"
    rows = read_rows(path, ("run",), cure)
    with parsing(path, cure):
        return any(row["run"] == run and _is_long_enough(row, trainer) for row in rows)


def _is_long_enough(row: Mapping[str, str], trainer: Any) -> bool:
    """Return True if a run had as many epochs, steps or minutes, or the table has no column of budgets."""
    name = budget_of(trainer)
    had = {option: row[f"trainer.{option}"] for option in BUDGETS if f"trainer.{option}" in row}
    given = {option: float(value) for option, value in had.items() if value not in ("", "null")}
    return not had or (budget_of(given) == name and given.get(name, 0) >= trainer[name])
