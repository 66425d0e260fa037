"""Simulated studies whose truth is known, tests that judge them, and distributions of Dice scores."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.stats import t as student

from lightning_liver.comparison import crossed
from lightning_liver.comparison.power import StudySize, power, smallest_difference, study_variances
from lightning_liver.comparison.statistics import SeedScores, compare, signed_rank
from lightning_liver.metrics.intervals import ALPHA, DECIMALS, Mean

Scores = Float[np.ndarray, "configuration seed patient"]
Table = Float[np.ndarray, "seed patient"]
Test = Callable[[Table, Table], float]  # p of a difference
Values = Float[np.ndarray, "..."]

EMPTY = 1 / 8  # cases without the structure: Dice is 1 if nothing was predicted, otherwise 0
MISSED = 1 / 10  # cases in which every network finds next to nothing
INTERACTION = 0.04  # SD of what a configuration changes for a single patient
REST = 0.03  # SD of patient by seed
RESAMPLES = 400


class Design(NamedTuple):
    """Size of a study and its truth.

    Args:
        luck: SD of a seed's luck, common to all its patients, hence to all its folds.
        gain: true gain of the first configuration on cases with the structure.
    """

    patients: int
    seeds: int
    luck: float
    gain: float = 0.0
    configurations: int = 2


class Distribution(NamedTuple):
    """Distribution of the scores of patients, with its true mean."""

    draw: Callable[[np.random.Generator, int], Values]
    mean: float


def draw(design: Design, random: np.random.Generator) -> Scores:
    """Draw the Dice of every configuration, seed and patient; without a gain all configurations are equally good."""
    shape = (design.configurations, design.seeds, design.patients)
    difficulty = np.where(random.random(design.patients) < MISSED, 0.02, random.beta(5, 2, design.patients))
    interaction = INTERACTION * random.standard_t(4, (design.configurations, 1, design.patients)) / np.sqrt(2)
    interaction = np.where(difficulty < 0.05, np.abs(interaction) * 0.3, interaction)
    luck = design.luck * random.normal(size=(design.configurations, design.seeds, 1))
    dice = difficulty + interaction + luck + REST * random.normal(size=shape)
    dice[0] += design.gain
    chance = random.beta(0.5, 0.5, design.patients) + random.normal(
        0, 0.15, (design.configurations, 1, design.patients)
    )
    is_empty = random.random(design.patients) < EMPTY
    return np.where(is_empty, random.random(shape) < chance, np.clip(dice, 0, 1))


def seed_scores(scores: Scores) -> dict[str, dict[int, dict[str, float]]]:
    """Return scores in the form that lightning_liver.comparison.statistics expects."""
    return {
        str(name): {
            seed: {str(patient): float(score) for patient, score in enumerate(row)} for seed, row in enumerate(own)
        }
        for name, own in enumerate(scores)
    }


def crossed_p(first: Table, second: Table) -> float:
    """Return p of the crossed test."""
    return crossed.difference(first, second).p


def patients_p(first: Table, second: Table) -> float:
    """Return p of the signed-rank test over patients, their scores averaged over seeds."""
    return signed_rank(np.round(first.mean(0) - second.mean(0), DECIMALS))


def seeds_p(first: Table, second: Table) -> float:
    """Return p of Welch's t over the means of seeds."""
    one, other = first.mean(1), second.mean(1)
    parts = one.var(ddof=1) / one.size, other.var(ddof=1) / other.size
    if not sum(parts):
        return 1.0
    freedom = sum(parts) ** 2 / (parts[0] ** 2 / (one.size - 1) + parts[1] ** 2 / (other.size - 1))
    return float(2 * student.sf(abs(one.mean() - other.mean()) / np.sqrt(sum(parts)), freedom))


def both_p(first: Table, second: Table) -> float:
    """Return the larger p of the tests over patients and over seeds."""
    return max(patients_p(first, second), seeds_p(first, second))


def bootstrap_p(first: Table, second: Table) -> float:
    """Return p of the percentile bootstrap that resamples patients, common to both, and the seeds of each."""
    random = np.random.default_rng(0)
    seeds, patients = first.shape
    weights = random.multinomial(patients, np.full(patients, 1 / patients), RESAMPLES) / patients
    drawn = [random.multinomial(seeds, np.full(seeds, 1 / seeds), RESAMPLES) / seeds for _ in range(2)]
    differences = ((drawn[0] @ first - drawn[1] @ second) * weights).sum(1)
    return min(1.0, 2 * float(min((differences <= 0).mean(), (differences >= 0).mean())))


TESTS: Mapping[str, Test] = {
    "crossed": crossed_p,
    "signed-rank over patients": patients_p,
    "max(patients, seeds)": both_p,
    "two-way bootstrap": bootstrap_p,
}


def rejections(design: Design, test: Test, studies: int, seed: int = 0) -> float:
    """Return the fraction of studies in which a test reaches 5 %: false alarms without a gain, power with one."""
    random = np.random.default_rng(seed)
    return float(np.mean([test(*draw(design, random)) <= ALPHA for _ in range(studies)]))


def family_wise(design: Design, studies: int, seed: int = 0) -> float:
    """Return the fraction of studies in which any pair of configurations is told apart after Holm's correction."""
    random = np.random.default_rng(seed)
    tables: list[SeedScores] = [seed_scores(draw(design, random)) for _ in range(studies)]
    return float(np.mean([any(pair.are_told_apart for pair in compare([table])[0]) for table in tables]))


def planned_power(design: Design) -> tuple[float, float]:
    """Return the power that liver-compare --plan expects for its smallest difference, and the gain that makes it.

    The variance components are those of a large study. A gain of 1 is the largest that scores allow.
    """
    many = design._replace(patients=4000, seeds=12, configurations=6, gain=0.0)
    scores = list(seed_scores(draw(many, np.random.default_rng(0))).values())
    variances = study_variances(scores, dict.fromkeys(scores[0][0], 0))
    if variances is None:
        raise ValueError("several configurations and seeds have variances")
    size = StudySize(design.patients, 1, design.seeds)
    told = smallest_difference(variances, size)
    return power(variances, size, told), _gain_of(told)


@cache
def _gain_of(difference: float) -> float:
    """Return the gain on cases with the structure that gives a difference of means, by bisection."""
    low, high = 0.0, 1.0
    for _ in range(12):
        middle = (low + high) / 2
        first, second = draw(Design(40_000, 1, 0.0, middle), np.random.default_rng(0))
        low, high = (middle, high) if first.mean() - second.mean() < difference else (low, middle)
    return high


def inflated(zeros: float, ones: float, a: float, b: float) -> Distribution:
    """Return a beta distribution of which fractions are replaced by zeros and ones."""

    def values(random: np.random.Generator, n: int) -> Values:
        kind = random.random(n)
        return np.where(kind < zeros, 0.0, np.where(kind < zeros + ones, 1.0, random.beta(a, b, n)))

    return Distribution(values, (1 - zeros - ones) * a / (a + b) + ones)


DISTRIBUTIONS: Mapping[str, Distribution] = {
    "normal(0.7, 0.1)": Distribution(lambda random, n: random.normal(0.7, 0.1, n), 0.7),
    "Beta(8, 2)": inflated(0, 0, 8, 2),
    "Beta(12, 1)": inflated(0, 0, 12, 1),
    "Beta(5, 2), 1/8 zeros": inflated(1 / 8, 0, 5, 2),
    "Beta(5, 2), 1/10 zeros, 1/10 ones": inflated(1 / 10, 1 / 10, 5, 2),
}


def student_interval(values: Sequence[float]) -> Mean:
    """Return the mean with Student's 95 % interval."""
    sample = np.asarray(values)
    mean, error = float(sample.mean()), float(sample.std(ddof=1)) / math.sqrt(sample.size)
    half = float(student.isf(ALPHA / 2, sample.size - 1)) * error
    return Mean(mean, mean - half, mean + half)


def coverage(
    interval: Callable[[Sequence[float]], Mean], distribution: Distribution, patients: int, samples: int, seed: int = 0
) -> float:
    """Return the fraction of intervals that contain the true mean; samples without an interval are left out."""
    random = np.random.default_rng(seed)
    intervals = [interval(distribution.draw(random, patients).tolist()) for _ in range(samples)]
    held = [low <= distribution.mean <= high for _, low, high in intervals if low is not None and high is not None]
    return float(np.mean(held))
