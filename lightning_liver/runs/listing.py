"""Runs of a study that need not be repeated: complete here, or listed in its results.csv."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning_liver.config import BUDGETS, VERSION, budget_of, without_hash
from lightning_liver.readers import parsing, read_rows
from lightning_liver.run_folder import RunFolder

_CURE = "give a table of runs that liver-compare --write wrote, or set results=null to run everything"


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
    rows = _rows(results)
    with parsing(Path(results or ""), _CURE):
        return any(row["run"] == run and _is_long_enough(row, trainer) for row in rows)


def earlier_rows(results: str | None) -> str:
    """Return a line about the rows of a results.csv that an earlier version listed; empty if there are none.

    Raises:
        LiverError: the file is no table of runs.
    """
    versions = [row.get("version") or "1" for row in _rows(results)]
    earlier = sum(version != str(VERSION) for version in versions)
    return (
        f"{results}: {earlier} of {len(versions)} runs were listed by an earlier version of their options: they are "
        "not recognised but where nothing changed, run again, and are not compared with new ones"
        if earlier
        else ""
    )


def replaced_row(run: str, results: str | None) -> str | None:
    """Return the run that a results.csv lists under the same name but for its hash: other options made it.

    Raises:
        LiverError: the file is no table of runs.
    """
    alike = [row["run"] for row in _rows(results) if without_hash(row["run"]) == without_hash(run)]
    return alike[0] if len(alike) == 1 and alike != [run] else None  # several, where a study has several commands


def _rows(results: str | None) -> Sequence[Mapping[str, str]]:
    """Return the rows of a results.csv; none without that file."""
    path = Path(results).expanduser() if results else None
    return read_rows(path, ("run",), _CURE) if path is not None and path.exists() else []


def _is_long_enough(row: Mapping[str, str], trainer: Any) -> bool:
    """Return True if a run had as many epochs, steps or minutes, or the table has no column of budgets."""
    name = budget_of(trainer)
    had = {option: row[f"trainer.{option}"] for option in BUDGETS if f"trainer.{option}" in row}
    given = {option: float(value) for option, value in had.items() if value not in ("", "null")}
    return not had or (budget_of(given) == name and given.get(name, 0) >= trainer[name])
