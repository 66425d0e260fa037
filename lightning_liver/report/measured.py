"""The losses that were measured on the test cases of runs, whatever each was trained with."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from lightning_liver.errors import LiverError
from lightning_liver.report.loss_metric import DICE, ONE_MINUS, Value
from lightning_liver.report.runs import COMPLETE, Run, Score, configurations
from lightning_liver.report.statistics import patient_scores


def measured_losses(folder: Path) -> dict[str, float]:
    """The mean over patients of each loss in a run's losses.csv, NaN if it was not finite; nothing without the file.

    Raises:
        LiverError: the file is damaged.
    """
    path = folder / "losses.csv"
    if not path.exists():
        return {}
    found: dict[str, dict[str, list[float]]] = {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                value = float(row["value"] or "nan")
                found.setdefault(row["loss"], {}).setdefault(row["patient"], []).append(value)
    except (OSError, KeyError, ValueError, TypeError, csv.Error) as error:
        raise LiverError(f"{path}: not the losses of test cases ({error}). Remove it, or run the run again.") from error
    return {loss: float(np.mean([np.mean(each) for each in patients.values()])) for loss, patients in found.items()}


def measured_values(runs: Sequence[Run], rows: Sequence[Score]) -> tuple[list[Value], int]:
    """What the runs with measured losses scored, their Dice included, and how many complete runs have none."""
    names = configurations(runs)
    losses = {run.folder: measured_losses(run.folder) for run in runs if run.status == COMPLETE}
    measured = {folder.name for folder, found in losses.items() if found}
    values = [
        Value(names[folder], f"{ONE_MINUS}{loss}", 1 - value)
        for folder, found in losses.items()
        for loss, value in found.items()
    ]
    values += _dice([row for row in rows if row.run in measured])
    return values, sum(not found for found in losses.values())


def own_losses(runs: Sequence[Run]) -> dict[str, str]:
    """For each configuration the loss that it was trained with: its yaml's name, else its function's."""
    names = configurations(runs)
    chosen = {
        names[run.folder]: run.settings.get("loss._choice_") or str(run.settings["loss._target_"]).rpartition(".")[2]
        for run in runs
        if "loss._target_" in run.settings
    }
    return {name: str(loss) for name, loss in chosen.items()}


def _dice(rows: Sequence[Score]) -> Iterator[Value]:
    for metric in DICE:
        for name, patients in patient_scores(rows, metric.removesuffix(" Dice")).items():
            yield Value(name, metric, float(np.mean(list(patients.values()))))
