"""Losses measured on the test cases of runs, whatever loss each was trained with."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from lightning_liver.comparison.loss_metric import DICE, ONE_MINUS, Matrix, Value, matrix
from lightning_liver.comparison.runs import Run, Score, complete_runs, configurations, scores
from lightning_liver.comparison.statistics import over_seeds, seed_scores


class LossScores(NamedTuple):
    """Scores of configurations under Dice and under each measured loss.

    Args:
        matrix: empty if no loss was measured.
        own: the loss that each configuration was trained with.
        left_out: number of complete runs without measured losses.
    """

    matrix: Matrix
    own: Mapping[str, str]
    left_out: int


def loss_scores(runs: Sequence[Run], within: Sequence[str] = ()) -> LossScores:
    """Collect the scores of the complete runs with measured losses.

    Args:
        within: options that are left out of the names of configurations.
    """
    done = complete_runs(runs)
    with_losses = [run for run in done if run.losses]
    names = configurations(done, within)
    values = [
        Value(names[run.folder], f"{ONE_MINUS}{loss}", 1 - value)
        for run in with_losses
        for loss, value in run.losses.items()
    ]
    known = {run.name for run in with_losses}
    values += _dice([row for row in scores(runs, within) if row.run in known])
    own = {names[run.folder]: _own_loss(run) for run in with_losses if "loss._target_" in run.settings}
    return LossScores(matrix(values), own, len(done) - len(with_losses))


def _own_loss(run: Run) -> str:
    """Return the name of the loss's yaml, else of its function."""
    return str(run.settings.get("loss._choice_") or str(run.settings["loss._target_"]).rpartition(".")[2])


def _dice(rows: Sequence[Score]) -> Iterator[Value]:
    for metric in DICE:
        for name, patients in over_seeds(seed_scores(rows, metric.removesuffix(" Dice"))).items():
            yield Value(name, metric, float(np.mean(list(patients.values()))))
