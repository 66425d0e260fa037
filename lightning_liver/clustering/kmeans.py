"""k-means of slices, and the agreement of clusters with the truth."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.cluster.vq import ClusterError, kmeans2

from lightning_liver.errors import LiverError
from lightning_liver.metrics.intervals import FEWEST_PATIENTS

Points = Float[np.ndarray, "point feature"]
Groups = Int[np.ndarray, " point"]  # group 0, 1, ... of each point
Tables = Int[np.ndarray, "patient first second"]  # points of each patient in both groups

_ITERATIONS = 100
RESAMPLES = 2000


class Agreement(NamedTuple):
    """Adjusted Rand index with its 95 % interval over patients; None with too few patients."""

    value: float | None
    low: float | None
    high: float | None


def standardise(features: Points) -> Float[np.ndarray, "point feature"]:
    """Scale every feature to mean 0 and standard deviation 1; a constant one to 0."""
    centred = np.asarray(features, np.float64) - np.mean(features, axis=0, dtype=np.float64)
    spread = centred.std(axis=0)
    return centred / np.where(spread > 1e-9 * np.abs(features).max(initial=1e-9), spread, np.inf)


def principal_components(points: Points, components: int) -> tuple[Float[np.ndarray, "point component"], float]:
    """Return scores on the first principal components (at most as many as there are) and their explained variance.

    Signs put the point farthest out on the positive side, so that equal input gives equal output.
    """
    centred = points - points.mean(axis=0)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    scores = (left * sizes)[:, :components]
    farthest = scores[np.abs(scores).argmax(axis=0), np.arange(scores.shape[1])]
    explained = float((sizes[:components] ** 2).sum() / max((sizes**2).sum(), np.finfo(float).tiny))
    return scores * np.where(farthest < 0, -1.0, 1.0), explained


def k_means(points: Points, clusters: int, *, starts: int, seed: int) -> Groups:
    """Cluster points by k-means from k-means++; cluster 0 is the largest.

    Args:
        starts: number of starts, of which the one with the least inertia counts; one with an empty cluster does not.
        seed: of the first start; the next one has the next seed.

    Raises:
        LiverError: fewer different points than clusters, or every start left a cluster empty.

    Source: Lloyd 1982, doi:10.1109/TIT.1982.1056489; Arthur and Vassilvitskii 2007, doi:10.5555/1283383.1283494.
    """
    if len(different := np.unique(points, axis=0)) < clusters:
        raise LiverError(f"clusters={clusters}: only {len(different)} slices differ; choose fewer clusters")
    found: list[tuple[float, Groups]] = []
    for start in range(starts):
        try:
            centres, groups = kmeans2(points, clusters, _ITERATIONS, minit="++", missing="raise", seed=seed + start)
        except ClusterError:
            continue
        found.append((float(((points - centres[groups]) ** 2).sum()), groups))
    if not found:
        raise LiverError(f"clusters={clusters}: each of {starts} starts left a cluster empty; choose fewer clusters")
    return largest_first(min(found, key=lambda each: each[0])[1], clusters)


def adjusted_rand(table: Int[np.ndarray, "first second"]) -> float:
    """Return the adjusted Rand index of a contingency table: 1 for equal groupings, 0 on average for random ones.

    With n_ij points in group i of the first and j of the second, and C(n) = n (n - 1) / 2:
    (sum C(n_ij) - E) / ((sum C(n_i.) + sum C(n_.j)) / 2 - E) where E = sum C(n_i.) sum C(n_.j) / C(n).
    Groupings that are both one group, or both groups of one point each, score 1.

    Source: Hubert and Arabie 1985, doi:10.1007/BF01908075, equation 5.
    """
    return float(_indices(table, table))


def contingency_tables(truth: Groups, groups: Groups, patients: Sequence[str]) -> Tables:
    """Return a contingency table of truth by group for each patient, in the order of their names."""
    names, places = np.unique(np.asarray(patients), return_inverse=True)
    counts = np.zeros((len(names), int(truth.max(initial=0)) + 1, int(groups.max(initial=0)) + 1), np.int64)
    np.add.at(counts, (places, truth, groups), 1)
    return counts


def agreement(tables: Tables) -> Agreement:
    """Return the index over all patients with its percentile bootstrap interval.

    Patients are drawn with replacement; the clusters stay fixed. Fewer than three patients have no interval.
    """
    return _interval(adjusted_rand(tables.sum(axis=0)), _resample(tables)) if len(tables) else _UNKNOWN


def agreement_difference(first: Tables, second: Tables) -> Agreement:
    """Return the difference first - second of two clusterings of the same slices, with the same resamples."""
    if not len(first):
        return _UNKNOWN
    value = adjusted_rand(first.sum(axis=0)) - adjusted_rand(second.sum(axis=0))
    return _interval(value, _resample(first) - _resample(second))


_UNKNOWN = Agreement(None, None, None)


def _interval(value: float, resampled: Float[np.ndarray, " resample"]) -> Agreement:
    low, high = np.percentile(resampled, (2.5, 97.5)) if len(resampled) else (None, None)
    return Agreement(value, low if low is None else float(low), high if high is None else float(high))


def _resample(tables: Tables) -> Float[np.ndarray, " resample"]:
    patients = len(tables)
    if patients < FEWEST_PATIENTS:
        return np.empty(0)
    times = np.random.default_rng(0).multinomial(patients, np.full(patients, 1 / patients), RESAMPLES)
    # a slice and its copy, of a patient drawn twice, always agree and do not count as a pair
    return _indices(np.tensordot(times, tables, axes=1), np.tensordot(times**2, tables, axes=1))


def _indices(
    counts: Int[np.ndarray, "*resample first second"], copies: Int[np.ndarray, "*resample first second"]
) -> Float[np.ndarray, "*resample"]:
    """Return the adjusted Rand index of each table; `copies` sums the squared number of times each point counts."""
    both = _pairs(counts, copies).sum(axis=(-2, -1))
    first = _pairs(counts.sum(axis=-1), copies.sum(axis=-1)).sum(axis=-1)
    second = _pairs(counts.sum(axis=-2), copies.sum(axis=-2)).sum(axis=-1)
    expected = first * second / np.maximum(_pairs(counts.sum(axis=(-2, -1)), copies.sum(axis=(-2, -1))), 1)
    largest = (first + second) / 2
    is_trivial = largest == expected
    return np.asarray(np.where(is_trivial, 1.0, (both - expected) / np.where(is_trivial, 1.0, largest - expected)))


def _pairs(counts: Any, copies: Any) -> Any:
    """Return the number of pairs of different points in the same cell."""
    return (counts**2 - copies) / 2


def largest_first(groups: np.ndarray, clusters: int) -> Groups:
    """Renumber groups by size, equal sizes by their first point."""
    sizes = np.bincount(groups, minlength=clusters)
    first = [int(np.argmax(groups == cluster)) for cluster in range(clusters)]
    order = sorted(range(clusters), key=lambda cluster: (-sizes[cluster], first[cluster]))
    return np.argsort(order)[groups]
