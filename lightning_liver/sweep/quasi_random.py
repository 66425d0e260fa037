"""Proposals that fill a space evenly, from their numbers alone: contenders with the same space meet the same values."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler
from scipy.stats.qmc import Halton

_DIGITS = 3  # of a proposed number, which people read and type


class QuasiRandom(BaseSampler):
    """Halton's sequence, shifted by the seed; the n-th trial gets its n-th point, whatever the scores are.

    Args:
        names: options, each a dimension; further ones leave the values of the first ones as they are.
        seed: of the shift.

    Source: Halton 1960, doi:10.1007/BF01386213; Cranley & Patterson 1976, doi:10.1137/0713071 (the shift); Bousquet et
    al. 2017, arXiv:1706.03200 (in a search for hyper-parameters).
    """

    # Optuna's QMCSampler counts its points in the study and draws its first one at random

    def __init__(self, names: Sequence[str], seed: int) -> None:
        self.names, self.seed = list(names), seed

    def infer_relative_search_space(self, study: Any, trial: Any) -> dict[str, BaseDistribution]:
        return {}

    def sample_relative(self, study: Any, trial: Any, search_space: Any) -> dict[str, Any]:
        return {}

    def sample_independent(
        self, study: Any, trial: Any, param_name: str, param_distribution: BaseDistribution
    ) -> float | int | str:
        dimension = self.names.index(param_name)
        points = Halton(dimension + 1, scramble=False)
        points.fast_forward(trial.number)
        shift = np.random.default_rng([self.seed, dimension]).random()
        return value_at(param_distribution, float((points.random(1)[0, dimension] + shift) % 1))


def value_at(space: BaseDistribution, place: float) -> float | int | str:
    """Return the value at a place of a space, 0 being its begin and 1, which is left out, its end."""
    if isinstance(space, CategoricalDistribution):
        return str(space.choices[int(place * len(space.choices))])
    assert isinstance(space, FloatDistribution | IntDistribution)
    if isinstance(space, FloatDistribution) and space.step is None:
        number = _between(space.low, space.high, place, log=space.log)
        return min(max(float(f"{number:.{_DIGITS}g}"), space.low), space.high)
    assert space.step is not None
    if space.log:
        return math.floor(_between(space.low, space.high + 1, place, log=True))
    steps = round((space.high - space.low) / space.step) + 1
    return type(space.high)(float(f"{space.low + int(place * steps) * space.step:.12g}"))


def _between(low: float, high: float, place: float, *, log: bool) -> float:
    return low * (high / low) ** place if log else low + (high - low) * place
