"""Power of a comparison over patients and seeds: what a study of a given size can tell, from its variance components.

The test is that of crossed.py. Its power is found by drawing the mean squares that it uses, which are independent
multiples of chi-square variables where scores are normal: no table of scores is needed, and thousands of studies take
milliseconds. experiments/verdicts compares it with whole simulated studies, whose scores are skewed.

Source: Obuchowski and Rockette 1995, doi:10.1080/03610919508813243, for the mean squares; Chakraborty 2011,
doi:10.1016/j.acra.2010.10.006, for planning a study with readers and cases in the same way.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from scipy.stats import t as student

from lightning_liver.comparison.crossed import FEWEST_WITH_A_MEDIAN, Seeds, components, difference, tables_of
from lightning_liver.metrics.intervals import ALPHA

POWER = 0.8
_DRAWS = 5000


class StudyVariances(NamedTuple):
    """Variances of scores, pooled over the configurations of a study.

    Args:
        response: between patients, of the true difference of two configurations.
        seeds: between seeds, common to all folds of a seed.
        seeds_by_folds: between the networks of a seed, one for each fold.
        rest: patient by network.
    """

    response: float
    seeds: float
    seeds_by_folds: float
    rest: float


class StudySize(NamedTuple):
    """Size of a study.

    Args:
        patients: tested in one fold.
        folds: that are run; each tests other patients.
        seeds: each runs in every fold.
        configurations: which share the usual variance of seeds.
        tests: over which Holm corrects.
    """

    patients: int
    folds: int
    seeds: int
    configurations: int = 2
    tests: int = 1

    @property
    def all_patients(self) -> int:
        return self.patients * self.folds

    @property
    def runs(self) -> int:
        """Return the number of runs of each configuration."""
        return self.folds * self.seeds


def study_variances(configurations: Sequence[Seeds], folds: Mapping[str, int]) -> StudyVariances | None:
    """Return the pooled variances of a study.

    None without a pair of configurations with two seeds and two patients, and where the scores of seeds do not differ.

    With a single fold, what varies with it is counted to the seeds.

    Args:
        folds: the fold that tests each patient.
    """
    responses = [response for pair in combinations(configurations, 2) if (response := _response(*pair)) is not None]
    own = [found for seeds in configurations if (found := _variances_of(seeds, folds)) is not None]
    if not responses or not own:
        return None
    whole, within, rest, evenness = np.maximum(np.mean(own, axis=0), 0.0).tolist()
    if not within and not rest:
        return None
    by_folds = min(max((within - whole) / (1 - evenness), 0.0), within) if evenness < 1 else 0.0
    return StudyVariances(max(float(np.mean(responses)), 0.0), within - by_folds, by_folds, rest)


def smallest_difference(variances: StudyVariances, size: StudySize) -> float:
    """Return the smallest true difference that a study tells in 80 % of cases; infinite if none.

    Of several tests it is the one with the smallest p, which Holm's correction multiplies by their number.
    """
    return float(np.quantile(_needed(variances, size), POWER))


def power(variances: StudyVariances, size: StudySize, true_difference: float) -> float:
    """Return the fraction of studies that tell a true difference."""
    return float((_needed(variances, size) <= true_difference).mean())


def _needed(variances: StudyVariances, size: StudySize) -> np.ndarray:
    """Draw studies, and return for each how large the true difference has to be so that the test tells it."""
    random = np.random.default_rng(0)
    patients, seeds, folds = size.all_patients, size.seeds, size.folds

    def mean_square(expected: float, freedom: int, *shape: int) -> np.ndarray:
        return expected * random.chisquare(freedom, (*shape, _DRAWS)) / freedom if freedom else np.zeros(_DRAWS)

    of_fold = variances.rest + size.patients * variances.seeds_by_folds
    of_mean = variances.seeds + variances.seeds_by_folds / folds + variances.rest / patients
    means = mean_square(of_mean, seeds - 1, size.configurations)
    usual = np.median(means, axis=0) if size.configurations >= FEWEST_WITH_A_MEDIAN else 0.0
    first, second = np.maximum(means[:2], usual) / seeds
    of_seeds = first + second
    seed_freedom = of_seeds**2 * (seeds - 1) / (first**2 + second**2)

    between, within = folds - 1, patients - folds
    scatter = between * mean_square(variances.response + 2 * of_fold / seeds, between)
    scatter = scatter + within * mean_square(variances.response + 2 * variances.rest / seeds, within)
    rest = between * mean_square(of_fold, 2 * (seeds - 1) * between)
    rest = rest + within * mean_square(variances.rest, 2 * (seeds - 1) * within)
    of_patients = np.maximum(scatter - 2 * rest / seeds, 0.0) / (patients - 1) / patients

    variance = of_seeds + of_patients
    freedom = variance**2 / (of_seeds**2 / seed_freedom + of_patients**2 / (patients - 1))
    critical = student.isf(ALPHA / 2 / size.tests, freedom) * np.sqrt(variance)
    true = math.sqrt(2 * of_mean / seeds + variances.response / patients)
    return critical - true * random.standard_normal(_DRAWS)


def _response(first: Seeds, second: Seeds) -> float | None:
    tables = tables_of(first, second)
    if tables is None or tables[0].shape[1] < 2:
        return None
    estimate = difference(*tables)
    return (estimate.of_patients - estimate.of_rest) * estimate.patients


def _variances_of(seeds: Seeds, folds: Mapping[str, int]) -> tuple[float, float, float, float] | None:
    """Return the variance of a configuration's seeds over all folds and within one, the rest, and the folds' evenness.

    The evenness is the sum of the squared fractions of patients, which is 1 for a single fold.
    """
    parts = []
    for fold in sorted(set(folds.values())):
        own = {seed: {p: score for p, score in scores.items() if folds[p] == fold} for seed, scores in seeds.items()}
        tables = tables_of(own, own)
        if tables is not None and tables[0].shape[1] > 1:
            parts.append(tables[0])
    whole = tables_of(seeds, seeds)
    if not parts or whole is None:
        return None
    patients = np.array([table.shape[1] for table in parts])
    rests = np.array([(components(table).rest or 0.0) ** 2 for table in parts])
    rest = float(np.average(rests, weights=patients - 1))
    within = float(np.mean([table.mean(1).var(ddof=1) for table in parts]) - rest * np.mean(1 / patients))
    over_all = float(whole[0].mean(1).var(ddof=1)) - rest / whole[0].shape[1]
    return over_all, within, rest, float(((patients / patients.sum()) ** 2).sum())
