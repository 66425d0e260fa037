"""Which runs of a study are done: here, or elsewhere, as its results.csv says."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning_liver.errors import LiverError
from lightning_liver.runs.folder import RunFolder


def is_done(folder: Path, results: str | None, trainer: Any) -> bool:
    """Whether a run folder is complete, or a results.csv has its name; see is_listed."""
    return RunFolder(folder).metrics.exists() or is_listed(folder.name, results, trainer)


def is_listed(run: str, results: str | None, trainer: Any) -> bool:
    """Whether a results.csv has a run, as long a one as is wanted. One that is not there (yet) has none.

    Args:
        trainer: the config's, with max_epochs and max_minutes, which are no part of a run's name.

    Raises:
        LiverError: it is no table of runs.
    """
    path = Path(results).expanduser() if results else None
    if path is None or not path.exists():
        return False
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return any(row["run"] == run and _is_as_long(row, trainer) for row in csv.DictReader(file))
    except (OSError, KeyError, ValueError, csv.Error) as error:  # ValueError: no UTF-8, or a budget that is no number
        raise LiverError(
            f"results={path}: not a table of runs with a column `run` ({error}). Write it anew with "
            "liver-compare --write, or give results=null to run everything here"
        ) from error


def _is_as_long(row: Mapping[str, str], trainer: Any) -> bool:
    """Whether a run had as many epochs or minutes; a table that says nothing of them is believed."""
    name = "max_epochs" if trainer.max_minutes is None else "max_minutes"
    had = row.get(f"trainer.{name}")
    if had is None:
        return True
    return had not in ("", "null") and float(had) >= trainer[name]
