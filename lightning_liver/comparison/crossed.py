"""Comparison of two configurations over both patients and seeds, as multi-reader multi-case studies do with readers.

All patients of a network share its luck: a test over patients alone takes the luck of a seed for an effect. A seed's
luck follows it through all folds, since the networks of all folds start from the same weights: what repeats a
configuration is the seed with all its folds, not the single run.

A score is modelled as its patient's mean, plus what the configuration changes for this patient, plus the luck of the
seed, plus a rest. Patients and seeds are both drawn at random.

Source: Obuchowski and Rockette 1995, doi:10.1080/03610919508813243; Hillis 2007, doi:10.1002/sim.2532, for the degrees
of freedom; Bouthillier et al. 2021, arXiv:2103.03098, for seeds as a source of variance. Compared with other tests by
simulation in experiments/verdicts/README.md.
"""

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.stats import t as student

from lightning_liver.metrics.intervals import ALPHA, DECIMALS, Mean

Seeds = Mapping[int, Mapping[str, float]]  # of one configuration: the score of each patient, by seed
Table = Float[np.ndarray, "seed patient"]
OtherTable = Float[np.ndarray, "other_seed patient"]  # of a configuration that may have more or fewer seeds

FEWEST_WITH_A_MEDIAN = 3  # configurations
FEWEST_SEEDS = 2  # of one seed nobody can tell how much another one would differ


class Estimate(NamedTuple):
    """A mean, or a difference of means, and the variance of its estimate.

    Args:
        of_patients: variance by the sample of patients; holds the rest.
        of_seeds: variance by the sample of seeds; holds the rest.
        of_rest: variance by what is left: it is in both of the others, and counts once.
        seed_freedom: degrees of freedom of `of_seeds`.
    """

    value: float
    of_patients: float
    of_seeds: float
    of_rest: float
    patients: int
    seed_freedom: float

    @property
    def error(self) -> float:
        """Return the standard error over patients and seeds."""
        return math.sqrt(self.of_seeds + self._of_patients_alone)

    @property
    def freedom(self) -> float:
        """Return the degrees of freedom of the standard error, by Satterthwaite's and Hillis's formula."""
        parts = self.of_seeds**2 / self.seed_freedom + self._of_patients_alone**2 / (self.patients - 1)
        return self.error**4 / parts if parts else 1.0

    @property
    def _of_patients_alone(self) -> float:
        """Return the variance by the sample of patients without the rest."""
        return max(self.of_patients - self.of_rest, 0.0)

    @property
    def p(self) -> float:
        """Return p of Student's t, two-sided; 1 where nothing varies, so that nothing is known."""
        return float(2 * student.sf(abs(self.value) / self.error, self.freedom)) if self.error else 1.0

    @property
    def interval(self) -> Mean:
        """Return the 95 % interval of Student's t; none where nothing varies."""
        if not self.error:
            return Mean(self.value, None, None)
        half = float(student.isf(ALPHA / 2, self.freedom)) * self.error
        return Mean(self.value, self.value - half, self.value + half)


class VarianceComponents(NamedTuple):
    """Standard deviations of the scores of one configuration; None for one seed, which cannot tell them.

    Args:
        patients: between patients.
        seeds: between the means of seeds, in an endless number of patients.
        rest: what is left: patient by seed.
    """

    patients: float | None
    seeds: float | None
    rest: float | None


def tables_of(first: Seeds, second: Seeds) -> tuple[Table, OtherTable] | None:
    """Return the scores of two configurations on the same patients; None if one has not two seeds with them.

    Where some seeds lack patients, as in a study that is not finished, those seeds or those patients are left out,
    whichever keeps more scores.
    """
    counts = sorted({len(scores) for seeds in (first, second) for scores in seeds.values()})
    best: tuple[Table, OtherTable] | None = None
    for fewest in counts:
        kept = [[scores for scores in seeds.values() if len(scores) >= fewest] for seeds in (first, second)]
        if min(map(len, kept)) < FEWEST_SEEDS:
            break
        patients = sorted(set.intersection(*(set(scores) for own in kept for scores in own)))
        tables = [np.array([[scores[patient] for patient in patients] for scores in own]) for own in kept]
        if best is None or sum(table.size for table in tables) > sum(table.size for table in best):
            best = (tables[0], tables[1])
    return best


def difference(first: Table, second: OtherTable, least_variance: float = 0.0) -> Estimate:
    """Estimate the difference of two configurations, first minus second; their seeds may differ.

    Args:
        first, second: scores on the same patients, of at least two seeds and two patients.
        least_variance: of the means of seeds; a smaller one of a configuration counts as this, see usual_variance.
    """
    apart = np.round(first.mean(0) - second.mean(0), DECIMALS)
    own = [max(_of_seeds(table), least_variance / len(table)) for table in (first, second)]
    of_seeds = sum(own)
    # Welch's
    parts = sum(each**2 / (len(table) - 1) for each, table in zip(own, (first, second), strict=True))
    freedom = of_seeds**2 / parts if parts else 1.0
    of_rest = sum(_rest(table) / table.size for table in (first, second))
    return Estimate(float(apart.mean()), float(apart.var(ddof=1)) / apart.size, of_seeds, of_rest, apart.size, freedom)


def usual_variance(configurations: Iterable[Seeds]) -> float:
    """Return the median over configurations of the variance of their seeds' means; 0 for fewer than three.

    Among many configurations some have two or three seeds that agree by chance. Holm's correction looks for the
    smallest p, and would find them.
    """
    tables = [tables_of(seeds, seeds) for seeds in configurations]
    variances = [_of_seeds(each[0]) * len(each[0]) for each in tables if each is not None]
    return float(np.median(variances)) if len(variances) >= FEWEST_WITH_A_MEDIAN else 0.0


def mean(scores: Table) -> Estimate:
    """Estimate the mean of a configuration, of at least two seeds and two patients."""
    patients = scores.mean(0)
    variances = float(patients.var(ddof=1)) / patients.size, _of_seeds(scores), _rest(scores) / scores.size
    return Estimate(float(patients.mean()), *variances, patients.size, len(scores) - 1)


def components(scores: Table) -> VarianceComponents:
    """Split the variance of scores, of at least two seeds and two patients, by the analysis of variance."""
    seeds, patients = scores.shape
    rest = _rest(scores)
    of_patients = max(float(scores.mean(0).var(ddof=1)) - rest / seeds, 0.0)
    of_seeds = max(float(scores.mean(1).var(ddof=1)) - rest / patients, 0.0)
    return VarianceComponents(math.sqrt(of_patients), math.sqrt(of_seeds), math.sqrt(rest))


def _of_seeds(scores: Table) -> float:
    return float(np.round(scores.mean(1), DECIMALS).var(ddof=1)) / len(scores)


def _rest(scores: Table) -> float:
    """Return the mean square of what neither patients nor seeds explain."""
    left = scores - scores.mean(0) - scores.mean(1, keepdims=True) + scores.mean()
    seeds, patients = scores.shape
    return float((left**2).sum()) / ((seeds - 1) * (patients - 1))
