"""Which runs of a study are done: here, or elsewhere, as its results.csv says."""

import csv
from pathlib import Path

from lightning_liver.errors import LiverError


def is_done(folder: Path, results: str | None) -> bool:
    """Whether a run folder is complete, or a results.csv has its name."""
    return (folder / "metrics.json").exists() or is_listed(folder.name, results)


def is_listed(run: str, results: str | None) -> bool:
    """Whether a results.csv has a run. One that is not there (yet) has none.

    Raises:
        LiverError: it is no table of runs.
    """
    path = Path(results).expanduser() if results else None
    if path is None or not path.exists():
        return False
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return any(row["run"] == run for row in csv.DictReader(file))
    except (OSError, KeyError, UnicodeDecodeError, csv.Error) as error:
        raise LiverError(
            f"results={path}: not a table of runs with a column `run` ({error}). Write it anew with "
            "liver-compare --write, or give results=null to run everything here"
        ) from error
