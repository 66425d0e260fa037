"""Tests and rankings of configurations over patients and seeds.

The scans of a patient are averaged first. A table of scores is {configuration: {patient: score}}, averaged over seeds,
or {configuration: {seed: {patient: score}}}, a seed with all its folds.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.stats import rankdata, wilcoxon
from scipy.stats import t as student

from lightning_liver.comparison import crossed
from lightning_liver.comparison.crossed import FEWEST_SEEDS, Seeds
from lightning_liver.comparison.runs import Score
from lightning_liver.metrics.intervals import ALPHA as ALPHA
from lightning_liver.metrics.intervals import DECIMALS, FEWEST_PATIENTS, FRACTION, Mean, mean_interval, within

RESAMPLES = 9999
_MOST_EXACT = 200  # patients; beyond, the normal approximation is as good and quicker

Scores = Mapping[str, Mapping[str, float]]
SeedScores = Mapping[str, Seeds]
Pair = tuple[str, str]


class Comparison(NamedTuple):
    """`first` against `second` on the patients that both have; the difference is first minus second.

    Args:
        seeds: of the configuration with fewer, of those that have these patients.
        difference: its interval is over patients and seeds; with one seed over patients alone.
        rank_biserial: 1 if first is better for every patient, -1 if second is.
        p: after Holm's correction over all tests that are shown together.
        smallest_p: the smallest p that a test of this size could have given, corrected alike.
    """

    first: str
    second: str
    patients: int
    seeds: int
    difference: Mean
    rank_biserial: float
    p: float
    smallest_p: float

    @property
    def is_significant(self) -> bool:
        """Tell whether the test finds a difference: of configurations, or with one seed of the two networks alone."""
        return self.p <= ALPHA

    @property
    def of_networks(self) -> bool:
        """Tell whether nothing is said about the configurations, since one of them has a single seed."""
        return self.seeds < FEWEST_SEEDS

    @property
    def are_told_apart(self) -> bool:
        """Tell whether the configurations differ."""
        return self.is_significant and not self.of_networks


class _Tested(NamedTuple):
    """A pair before the correction."""

    patients: int
    seeds: int
    difference: Mean
    p: float
    smallest_p: float


def seed_scores(rows: Iterable[Score], structure: str) -> dict[str, dict[int, dict[str, float]]]:
    """Return the table of scores by seed: the scans of a patient are averaged in each run, then runs of a seed."""
    scans: dict[tuple[str, int, str], dict[str, list[float]]] = {}
    for row in rows:
        if row.structure == structure and row.dice is not None:
            runs = scans.setdefault((row.configuration, row.seed, row.patient), {})
            runs.setdefault(row.run, []).append(row.dice)
    table: dict[str, dict[int, dict[str, float]]] = {}
    for (configuration, seed, patient), runs in sorted(scans.items()):
        own = table.setdefault(configuration, {}).setdefault(seed, {})
        own[patient] = float(np.mean([np.mean(scores) for scores in runs.values()]))
    return table


def over_seeds(table: SeedScores) -> dict[str, dict[str, float]]:
    """Return the table of scores averaged over the seeds that have a patient."""
    return {configuration: _averaged(seeds) for configuration, seeds in table.items()}


def _averaged(seeds: Seeds) -> dict[str, float]:
    patients = sorted({patient for scores in seeds.values() for patient in scores})
    found = {patient: [scores[patient] for scores in seeds.values() if patient in scores] for patient in patients}
    return {patient: float(np.mean(scores)) for patient, scores in found.items()}


def configuration_mean(seeds: Seeds) -> Mean:
    """Return the mean Dice of a configuration with its 95 % interval, over patients and, with several, over seeds.

    The interval over patients, which follows their skewness, is stretched by what seeds add to its standard error and
    take from its degrees of freedom.
    """
    over_patients = mean_interval(list(_averaged(seeds).values()), FRACTION)
    tables = crossed.tables_of(seeds, seeds)
    if tables is None or tables[0].shape[1] < FEWEST_PATIENTS:
        return over_patients
    mean, low, high = mean_interval(list(_averaged(seeds).values()))  # cut after it is stretched
    if mean is None or low is None or high is None:
        return over_patients
    whole = crossed.mean(tables[0])
    if not whole.of_patients:
        return Mean(mean, None, None)
    halves = [
        float(student.isf(ALPHA / 2, freedom) * error)
        for error, freedom in ((whole.error, whole.freedom), (whole.of_patients**0.5, whole.patients - 1))
    ]
    stretch = max(halves[0] / halves[1], 1.0)
    return Mean(mean, *within(FRACTION, mean - stretch * (mean - low), mean + stretch * (high - mean)))


def seed_means(seeds: Seeds) -> dict[int, float]:
    """Return the mean of each seed of a configuration, over the patients that all its seeds have."""
    common = sorted(set.intersection(*map(set, seeds.values()))) if seeds else []
    return {seed: float(np.mean([own[patient] for patient in common])) for seed, own in seeds.items()} if common else {}


def compare(tables: Sequence[SeedScores], baseline: str | None = None) -> list[list[Comparison]]:
    """Compare the pairs of each table; Holm's correction is over the pairs of all tables.

    Configurations of several seeds are compared over patients and seeds (crossed.py), from three patients on;
    seeds that happen to agree count as varying like those of the table's median configuration. If one of a pair has a
    single seed, the two networks are compared over patients by the signed-rank test.

    Args:
        tables: one for each structure.
        baseline: compare the others with this configuration alone, which must be chosen before the results are seen.

    Returns:
        A list for each table; pairs without a common patient are left out.
    """
    pairs = [(n, first, second) for n, table in enumerate(tables) for first, second in pairs_of(table, baseline)]
    averaged = [over_seeds(table) for table in tables]
    differences = [paired_differences(averaged[n], first, second) for n, first, second in pairs]
    kept = [n for n, each in enumerate(differences) if each.size]
    usual = [crossed.usual_variance(table.values()) for table in tables]
    tested = [
        _test(tables[t], (first, second), differences[n], usual[t]) for n in kept for t, first, second in [pairs[n]]
    ]
    p, p_limits = holm([each.p for each in tested]), holm([each.smallest_p for each in tested])
    comparisons: list[list[Comparison]] = [[] for _ in tables]
    for n, each, corrected, limit in zip(kept, tested, p, p_limits, strict=True):
        table, first, second = pairs[n]
        size = rank_biserial(differences[n])
        comparisons[table].append(
            Comparison(first, second, each.patients, each.seeds, each.difference, size, corrected, limit)
        )
    return comparisons


def _test(table: SeedScores, pair: Pair, differences: Float[np.ndarray, " patient"], usual_variance: float) -> _Tested:
    tables = crossed.tables_of(*(table[name] for name in pair))
    if tables is None:
        difference = mean_interval(differences.tolist())
        return _Tested(differences.size, 1, difference, signed_rank(differences), smallest_p(differences.size))
    seeds, patients = min(map(len, tables)), tables[0].shape[1]
    if patients < FEWEST_PATIENTS:
        return _Tested(patients, seeds, Mean(float(differences.mean()), None, None), 1.0, 1.0)
    estimate = crossed.difference(*tables, usual_variance)
    return _Tested(patients, seeds, estimate.interval, estimate.p, 0.0)


def pairs_of(table: Collection[str], baseline: str | None = None) -> list[Pair]:
    """Return all pairs, or each other configuration with the baseline."""
    if baseline is None:
        return list(combinations(table, 2))
    return [(name, baseline) for name in table if name != baseline and baseline in table]


def paired_differences(table: Scores, first: str, second: str) -> Float[np.ndarray, " patient"]:
    """Return first minus second for each patient that both have; differences by rounding alone are 0."""
    common = sorted(set(table[first]) & set(table[second]))
    return np.round([table[first][patient] - table[second][patient] for patient in common], DECIMALS)


def signed_rank(differences: Float[np.ndarray, " patient"]) -> float:
    """Return p of Wilcoxon's signed-rank test, two-sided, without zeros; exact up to 200 patients, with ties, too.

    Source: Wilcoxon 1945, doi:10.2307/3001968; conditional on the ties: Pratt and Gibbons 1981, Concepts of
    nonparametric theory, section 3.7.
    """
    other = differences[differences != 0]
    if not other.size:
        return 1.0
    if other.size > _MOST_EXACT:
        return float(wilcoxon(other, method="approx").pvalue)
    ranks = np.rint(2 * rankdata(np.abs(other))).astype(int)  # doubled, ranks of ties are whole numbers
    chances = np.ones(1)  # of each sum of the ranks that have a plus, all signs being equally likely
    for rank in ranks:
        chances = (np.pad(chances, (0, rank)) + np.pad(chances, (rank, 0))) / 2
    seen = int(ranks[other > 0].sum())
    return min(1.0, 2 * float(min(chances[: seen + 1].sum(), chances[seen:].sum())))


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


def rank_frequencies(table: SeedScores) -> dict[str, list[float]]:
    """Return the fraction of bootstrap resamples in which each configuration has rank 1, 2, ...

    Patients are resampled, the same for all configurations, and the seeds of each configuration. Patients are those
    that all configurations have; equal means share the better rank. The best mean comes first; empty without a common
    patient.

    Source: Wiesenfarth et al. 2021 (challengeR), doi:10.1038/s41598-021-82017-6.
    """
    averaged = over_seeds(table)
    common = sorted(set.intersection(*(set(scores) for scores in averaged.values()))) if averaged else []
    if not common:
        return {}
    random = np.random.default_rng(0)
    patients = random.multinomial(len(common), np.full(len(common), 1 / len(common)), RESAMPLES)
    means = []
    for name, seeds in table.items():
        whole = [own for own in seeds.values() if set(common) <= set(own)] or [averaged[name]]
        scores = np.array([[own[patient] for patient in common] for own in whole])
        drawn = random.multinomial(len(whole), np.full(len(whole), 1 / len(whole)), RESAMPLES)
        means.append(((drawn @ scores) * patients).sum(1) / (len(common) * len(whole)))
    ranks = rankdata(-np.round(means, DECIMALS), axis=0, method="min")
    names, best = list(table), [np.mean([averaged[name][patient] for patient in common]) for name in table]
    return {
        names[n]: [float((ranks[n] == rank + 1).mean()) for rank in range(len(names))]
        for n in np.argsort(-np.array(best), kind="stable")
    }
