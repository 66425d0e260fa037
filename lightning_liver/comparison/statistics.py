"""Which configuration is better, and whether the data can tell: the unit is the patient.

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

    p is corrected over all the tests that were shown together, p_best the smallest that they could have given.
    rank_biserial is 1 where first is better for every patient, -1 where second is.
    """

    first: str
    second: str
    patients: int
    difference: Mean
    rank_biserial: float
    p: float
    p_best: float

    @property
    def is_significant(self) -> bool:
        return self.p <= ALPHA


def patient_scores(rows: Iterable[Score], structure: str) -> dict[str, dict[str, float]]:
    """The table of scores: scans of a patient are averaged in each run, then the runs."""
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


def seed_spread(rows: Sequence[Score], structure: str, configuration: str) -> tuple[int, float | None]:
    """Number of seeds, and the standard deviation (n - 1) over seeds of the mean over patients whom all seeds have."""
    mine = [row for row in rows if row.configuration == configuration]
    seeds = sorted({row.seed for row in mine})
    tables = [patient_scores([row for row in mine if row.seed == seed], structure) for seed in seeds]
    by_seed = [table.get(configuration, {}) for table in tables]
    patients = set.intersection(*map(set, by_seed)) if by_seed else set()
    if len(seeds) < 2 or not patients:
        return len(seeds), None
    means = [np.mean([scores[patient] for patient in sorted(patients)]) for scores in by_seed]
    return len(seeds), float(np.std(means, ddof=1))


def compare(tables: Sequence[Scores], baseline: str | None = None) -> list[list[Comparison]]:
    """Paired comparisons of each table; Holm's correction is over all of all tables.

    Args:
        tables: one for each structure.
        baseline: compare the others with this configuration alone, which must have been named before looking.

    Returns:
        A list for each table; pairs without a common patient are left out.
    """
    pairs = [(n, first, second) for n, table in enumerate(tables) for first, second in pairs_of(table, baseline)]
    differences = [paired_differences(tables[n], first, second) for n, first, second in pairs]
    tested = [n for n, each in enumerate(differences) if each.size]
    p = holm([signed_rank(differences[n]) for n in tested])
    p_best = holm([smallest_p(differences[n].size) for n in tested])
    found: list[list[Comparison]] = [[] for _ in tables]
    for n, corrected, best in zip(tested, p, p_best, strict=True):
        which, first, second = pairs[n]
        each = differences[n]
        interval = mean_interval(each.tolist())
        found[which].append(Comparison(first, second, each.size, interval, rank_biserial(each), corrected, best))
    return found


def pairs_of(table: Scores, baseline: str | None = None) -> list[Pair]:
    """All pairs, or each other configuration with the baseline."""
    if baseline is None:
        return list(combinations(table, 2))
    return [(name, baseline) for name in table if name != baseline and baseline in table]


def paired_differences(table: Scores, first: str, second: str) -> Float[np.ndarray, " patient"]:
    """First minus second for each patient whom both have; differences of rounding alone are 0."""
    common = sorted(set(table[first]) & set(table[second]))
    return np.round([table[first][patient] - table[second][patient] for patient in common], DECIMALS)


def signed_rank(differences: Float[np.ndarray, " patient"]) -> float:
    """p of Wilcoxon's signed-rank test, two-sided, zeros left out; exact for 13 patients or fewer, 50 without ties.

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
    """The smallest p that signed_rank can give: all patients better with the same configuration."""
    return min(1.0, 2.0 ** (1 - patients))


def patients_needed(tests: int) -> int:
    """The fewest patients with whom one of `tests` tests can reach 0.05 after Holm's correction."""
    return next(n for n in range(1, 1000) if tests * smallest_p(n) <= ALPHA)


def rank_biserial(differences: Float[np.ndarray, " patient"]) -> float:
    """Share of the signed ranks that is positive minus the share that is negative; 0 where nothing differs.

    Source: Kerby 2014, doi:10.2466/11.IT.3.1.
    """
    other = differences[differences != 0]
    if not other.size:
        return 0.0
    ranks = rankdata(np.abs(other))
    return float((ranks * np.sign(other)).sum() / ranks.sum())


def holm(p: Sequence[float]) -> list[float]:
    """p values corrected so that at most 5 % of studies raise one false alarm or more.

    Source: Holm 1979, Scandinavian Journal of Statistics 6:65-70.
    """
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values)
    steps = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    corrected = np.empty_like(values)
    corrected[order] = np.minimum(steps, 1)
    return [float(value) for value in corrected]


def rank_frequencies(table: Scores) -> dict[str, list[float]]:
    """Share of bootstrap resamples of the patients in which each configuration has rank 1, 2, ...

    On the patients whom all configurations have; equal means share the better rank. Best mean first; empty without a
    common patient.

    Source: Wiesenfarth et al. 2021 (challengeR), doi:10.1038/s41598-021-82017-6.
    """
    common = sorted(set.intersection(*(set(scores) for scores in table.values()))) if table else []
    if not common:
        return {}
    scores = np.array([[table[name][patient] for patient in common] for name in table])
    drawn = np.random.default_rng(0).integers(len(common), size=(RESAMPLES, len(common)))
    means = np.array([row[drawn].mean(1) for row in scores])
    ranks = rankdata(-np.round(means, DECIMALS), axis=0, method="min")
    shares = {
        name: [float((ranks[n] == rank + 1).mean()) for rank in range(len(table))] for n, name in enumerate(table)
    }
    return {list(table)[n]: shares[list(table)[n]] for n in np.argsort(-scores.mean(1), kind="stable")}
