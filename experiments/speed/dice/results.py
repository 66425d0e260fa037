"""Rows of results.csv: read, appended, tabulated and judged."""

import csv
import statistics
from collections.abc import Sequence
from pathlib import Path

from experiments.speed.dice.clock import marks
from experiments.speed.dice.contenders import CONTENDERS, NNUNET, NNUNET_MIRRORED
from lightning_liver.tables import Row, write_csv
from lightning_liver.types import STRUCTURES

HELD = ("B", "D")
OURS = ("ours", 10.0)
RIVALS = ((NNUNET, 60.0), (NNUNET_MIRRORED, 60.0), ("monai", 20.0), ("bare", 10.0))
NAMES = [*CONTENDERS, NNUNET_MIRRORED]


def read(path: Path) -> list[Row]:
    """Return the rows of a CSV, none if it does not exist."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [row | {"minutes": float(row["minutes"]), "dice": float(row["dice"])} for row in csv.DictReader(file)]


def append(path: Path, rows: Sequence[Row]) -> None:
    """Add rows, which replace earlier ones of the same contender, patient and seed."""
    new = {_run_of(row) for row in rows}
    kept = [row for row in read(path) if _run_of(row) not in new]
    write_csv(path, sorted([*kept, *rows], key=_order))


def is_done(rows: Sequence[Row], contender: str, held: str, seed: int) -> bool:
    """Return True if there are rows for the end of the full budget."""
    minutes = CONTENDERS[contender].minutes
    return any(_run_of(row) == (contender, held, str(seed)) and row["minutes"] == minutes for row in rows)


def mean_dice(rows: Sequence[Row], contender: str, minutes: float, structure: str, held: str) -> float | None:
    """Return the mean over seeds for a patient held out, None without rows."""
    wanted = (contender, minutes, structure, held)
    found = [float(row["dice"] or 0) for row in rows if _point_of(row) == wanted]
    return statistics.mean(found) if found else None


def table(rows: Sequence[Row]) -> list[Row]:
    """Return a row per contender, patient and structure with a column per minute."""
    made: list[Row] = []
    for structure in STRUCTURES:
        for contender in NAMES:
            for held in sorted({str(row["held"]) for row in rows if row["contender"] == contender}):
                of_minute = {f"{mark:g} min": mean_dice(rows, contender, mark, structure, held) for mark in marks(60.0)}
                made.append({"Dice": structure, "contender": contender, "held out": held, **of_minute})
    return made


def costs(rows: Sequence[Row]) -> list[Row]:
    """Return the time of preparation, and the steps and seconds to the end of the budget."""
    wanted = ("contender", "held", "seed", "preparation_s", "steps", "seconds", "threads", "precision")
    ends = [row for row in rows if row["structure"] == "liver" and row["minutes"] == float(str(row["budget"]))]
    return [{name: row[name] for name in wanted} for row in ends if row["contender"] != NNUNET_MIRRORED]


def verdict(rows: Sequence[Row]) -> list[str]:
    """Judge, for each rival and structure, if our mean over the patients held out is at least as good."""
    return [_judged(rows, rival, minutes, structure) for rival, minutes in RIVALS for structure in STRUCTURES]


def _judged(rows: Sequence[Row], rival: str, minutes: float, structure: str) -> str:
    title = f"{structure}: ours at {OURS[1]:g} min >= {rival} at {minutes:g} min"
    seeds = set.intersection(*({row["seed"] for row in rows if row["contender"] == one} for one in (OURS[0], rival)))
    matched = [row for row in rows if row["seed"] in seeds]
    own, other = (_over_patients(matched, *which, structure) for which in (OURS, (rival, minutes)))
    if own is None or other is None:
        return f"{title}: not run yet"
    return f"{title}: {own:.3f} and {other:.3f}: {'pass' if own >= other else 'FAIL'}"


def _over_patients(rows: Sequence[Row], contender: str, minutes: float, structure: str) -> float | None:
    found = [mean_dice(rows, contender, minutes, structure, held) for held in HELD]
    known = [dice for dice in found if dice is not None]
    return statistics.mean(known) if len(known) == len(HELD) else None


def _run_of(row: Row) -> tuple[str, str, str]:
    return str(row["contender"]), str(row["held"]), str(row["seed"])


def _point_of(row: Row) -> tuple[object, ...]:
    return row["contender"], row["minutes"], row["structure"], row["held"]


def _order(row: Row) -> tuple[object, ...]:
    return NAMES.index(str(row["contender"])), row["held"], int(str(row["seed"])), row["minutes"], row["structure"]
