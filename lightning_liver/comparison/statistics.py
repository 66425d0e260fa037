"""Paired tests and rankings of configurations; the unit is the patient.

Scans of a patient and seeds are averaged first. A table of scores is {configuration: {patient: score}}.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.stats import PermutationMethod, rankdata, wilcoxon

from lightning_liver.comparison.runs import Score
from lightning_liver.metrics.intervals import ALPHA as ALPHA
from lightning_liver.metrics.intervals import DECIMALS, RESAMPLES, Mean, mean_interval

_MOST_ENUMERATED = 13  # patients whose 2**n signs are all tried where ties forbid the tabulated distribution
_MOST_EXACT = 50  # beyond, the normal approximation is as good and quicker

Scores = Mapping[str, Mapping[str, float]]
Pair = tuple[str, str]


class Comparison(NamedTuple):
    """`first` against `second` on the patients that both have; the difference is first minus second.

    Args:
        rank_biserial: 1 if first is better for every patient, -1 if second is.
        p: after Holm's correction over all tests that are shown together.
        smallest_p: the smallest p that a test of this size could have given, corrected alike.
    """

    first: str
    second: str
    patients: int
    difference: Mean
    rank_biserial: float
    p: float
    smallest_p: float

    @property
    def is_significant(self) -> bool:
        return self.p <= ALPHA


def patient_scores(rows: Iterable[Score], structure: str) -> dict[str, dict[str, float]]:
    """Return the table of scores: the scans of a patient are averaged in each run, then the runs."""
    scans: dict[str, dict[str, dict[str, list[float]]]] = {}
    for row in rows:
        if row.structure == structure and row.dice is not None:
            patients = scans.setdefault(row.configuration, {})
            patients.setdefault(row.patient, {}).setdefault(row.run, []).append(row.dice)
    return {
        configuration: {
            patient: float(np.mean([np.mean(scores) for scores in runs.values()]))
            for patient, runs in sorted(patients.items())
        }
        for configuration, patients in sorted(scans.items())
    }


def seed_means(rows: Sequence[Score], structure: str) -> dict[str, dict[int, float]]:
    """Return the mean of each configuration and seed, over the patients that all seeds of the configuration have."""
    means: dict[str, dict[int, float]] = {}
    for name in dict.fromkeys(row.configuration for row in rows):
        own = [row for row in rows if row.configuration == name]
        tables = {
            seed: patient_scores([row for row in own if row.seed == seed], structure).get(name, {})
            for seed in sorted({row.seed for row in own})
        }
        common = sorted(set.intersection(*map(set, tables.values())))
        means[name] = {seed: float(np.mean([t[p] for p in common])) for seed, t in tables.items()} if common else {}
    return means


def seed_spread(rows: Sequence[Score], structure: str, configuration: str) -> tuple[int, float | None]:
    """Return the number of seeds of a configuration and the standard deviation (n - 1) of their means."""
    own = [row for row in rows if row.configuration == configuration]
    means = list(seed_means(own, structure).get(configuration, {}).values())
    return len({row.seed for row in own}), float(np.std(means, ddof=1)) if len(means) > 1 else None


def compare(tables: Sequence[Scores], baseline: str | None = None) -> list[list[Comparison]]:
    """Compare the pairs of each table; Holm's correction is over the pairs of all tables.

    Args:
        tables: one for each structure.
        baseline: compare the others with this configuration alone, which must be chosen before the results are seen.

    Returns:
        A list for each table; pairs without a common patient are left out.
    """
    pairs = [(n, first, second) for n, table in enumerate(tables) for first, second in pairs_of(table, baseline)]
    differences = [paired_differences(tables[n], first, second) for n, first, second in pairs]
    tested = [n for n, each in enumerate(differences) if each.size]
    p = holm([signed_rank(differences[n]) for n in tested])
    p_limits = holm([smallest_p(differences[n].size) for n in tested])
    comparisons: list[list[Comparison]] = [[] for _ in tables]
    for n, corrected, limit in zip(tested, p, p_limits, strict=True):
        table, first, second = pairs[n]
        each = differences[n]
        interval = mean_interval(each.tolist())
        comparisons[table].append(Comparison(first, second, each.size, interval, rank_biserial(each), corrected, limit))
    return comparisons


def pairs_of(table: Scores, baseline: str | None = None) -> list[Pair]:
    """Return all pairs, or each other configuration with the baseline."""
    if baseline is None:
        return list(combinations(table, 2))
    return [(name, baseline) for name in table if name != baseline and baseline in table]


def paired_differences(table: Scores, first: str, second: str) -> Float[np.ndarray, " patient"]:
    """Return first minus second for each patient that both have; differences by rounding alone are 0."""
    common = sorted(set(table[first]) & set(table[second]))
    return np.round([table[first][patient] - table[second][patient] for patient in common], DECIMALS)


def signed_rank(differences: Float[np.ndarray, " patient"]) -> float:
    """Return p of Wilcoxon's signed-rank test, two-sided, without zeros; exact up to 13 patients, 50 without ties.

    Source: Wilcoxon 1945, doi:10.2307/3001968.
    """
    other = differences[differences != 0]
    if not other.size:
        return 1.0
    if other.size <= _MOST_EXACT and np.unique(np.abs(other)).size == other.size:
        return float(wilcoxon(other, method="exact").pvalue)
    if other.size <= _MOST_ENUMERATED:
        return float(wilcoxon(other, method=PermutationMethod(n_resamples=np.inf)).pvalue)
    return float(wilcoxon(other, method="approx").pvalue)


def smallest_p(patients: int) -> float:
    """Return the smallest p of signed_rank: the same configuration is better for every patient."""
    return min(1.0, 2.0 ** (1 - patients))


def patients_needed(tests: int) -> int:
    """Return how many patients one of `tests` tests needs to reach 0.05 after Holm's correction."""
    return next(n for n in range(1, 1000) if tests * smallest_p(n) <= ALPHA)


def rank_biserial(differences: Float[np.ndarray, " patient"]) -> float:
    """Return the fraction of positive ranks minus the fraction of negative ranks; 0 if nothing differs.

    Source: Kerby 2014, doi:10.2466/11.IT.3.1.
    """
    other = differences[differences != 0]
    if not other.size:
        return 0.0
    ranks = rankdata(np.abs(other))
    return float((ranks * np.sign(other)).sum() / ranks.sum())


def holm(p: Sequence[float]) -> list[float]:
    """Correct p values so that at most 5 % of studies have a false positive.

    Source: Holm 1979, Scandinavian Journal of Statistics 6:65-70.
    """
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values)
    steps = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    corrected = np.empty_like(values)
    corrected[order] = np.minimum(steps, 1)
    return [float(value) for value in corrected]


def rank_frequencies(table: Scores) -> dict[str, list[float]]:
    """Return the fraction of bootstrap resamples of the patients in which each configuration has rank 1, 2, ...

    Patients are those that all configurations have; equal means share the better rank. The best mean comes first; empty
    without a common patient.

    Source: Wiesenfarth et al. 2021 (challengeR), doi:10.1038/s41598-021-82017-6.
    """
    common = sorted(set.intersection(*(set(scores) for scores in table.values()))) if table else []
    if not common:
        return {}
    scores = np.array([[table[name][patient] for patient in common] for name in table])
    drawn = np.random.default_rng(0).integers(len(common), size=(RESAMPLES, len(common)))
    means = np.array([row[drawn].mean(1) for row in scores])
    ranks = rankdata(-np.round(means, DECIMALS), axis=0, method="min")
    names = list(table)
    return {
        names[n]: [float((ranks[n] == rank + 1).mean()) for rank in range(len(names))]
        for n in np.argsort(-scores.mean(1), kind="stable")
    }
