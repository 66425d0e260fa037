"""Test of a score that was still rising when training ended, where a longer training might have ended higher."""

from collections.abc import Sequence
from math import sqrt
from statistics import mean, variance

_FEWEST = 2  # scores in a quarter: one has no variance


def is_rising(scores: Sequence[float]) -> bool | None:
    """Return True if the last quarter of a training scored higher than the quarter before, by more than chance.

    The difference of the two means must exceed its standard error, as of independent scores.

    Args:
        scores: one for each validation, the earliest first.

    Returns:
        None for fewer than eight scores.
    """
    quarter = len(scores) // 4
    if quarter < _FEWEST:
        return None
    last, before = scores[-quarter:], scores[-2 * quarter : -quarter]
    error = sqrt((variance(last) + variance(before)) / quarter)
    return mean(last) - mean(before) > error
