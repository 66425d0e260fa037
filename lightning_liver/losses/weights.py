"""Weights of the terms of a sum that change in the course of training.

A weight is a function of `Progress`; its options stand in a yaml of its name in conf/loss/weight.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from lightning_liver.types.options import NonNegative, Positive

LEAST_MEAN = 1e-6  # the mean of a term that is learnt perfectly is 0, by which nothing can be divided


class Progress(NamedTuple):
    """Position in a training run.

    Args:
        epoch: number of epochs that are over.
        fraction: of the planned steps, 0 at the first and 1 at the last.
        means: mean of each term over the previous epoch, without its weight; empty in the first epoch.
    """

    epoch: int
    fraction: float
    means: Mapping[str, float]


Schedule = Callable[[Progress], float]


def linear(progress: Progress, *, start: NonNegative, end: NonNegative) -> float:
    """Return a weight that moves from start at the first step to end at the last, whatever the budget."""
    return (1 - progress.fraction) * start + progress.fraction * end


def by_epoch(progress: Progress, *, start: NonNegative, end: NonNegative, step: Positive) -> float:
    """Return a weight that moves from start towards end by a step after every epoch, and stays at end.

    Source: Kervadec et al. 2019, arXiv:1812.07032. The weight of their region loss is 1 at first, falls by 0.01 after
    every epoch and stays at 0.01; that of the boundary loss is 1 minus it.
    """
    moved = step * progress.epoch
    return min(start + moved, end) if end > start else max(start - moved, end)


def ratio(progress: Progress, *, of: str, over: str, first: NonNegative) -> float:
    """Return the mean of one term over the mean of another, both of the previous epoch.

    As the weight of the term `over`, beside a weight of 1 of the term `of`, it makes both count alike.

    Args:
        of, over: names of terms of the sum. A mean of `over` below 1e-6 counts as 1e-6.
        first: weight in the first epoch, before anything is measured.

    Raises:
        KeyError: the sum has no term of that name.

    Source: Karimi and Salcudean 2019, arXiv:1904.10030, whose lambda is the mean Hausdorff loss over the mean Dice
    loss on the training images, updated after each epoch. These means are of the epoch's batches, measured while the
    network learnt, which takes no further pass over the images. `first` is ours.
    """
    return progress.means[of] / max(progress.means[over], LEAST_MEAN) if progress.means else first
