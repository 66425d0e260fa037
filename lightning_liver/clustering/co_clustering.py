"""Self-taught clustering: slices of a target and of auxiliary data in clusters that share clusters of features."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from lightning_liver.clustering.kmeans import largest_first
from lightning_liver.errors import LiverError

Counts = Float[np.ndarray, "_ feature"]  # non-negative, each point has some
Joint = Float[np.ndarray, "_ feature"]  # sums to one
Activations = Float[np.ndarray, "_ channel"]
Groups = Int[np.ndarray, " _"]  # cluster 0, 1, ... of each
Scores = Float[np.ndarray, "_ cluster"]

_ITERATIONS = 100
_LEAST_GAIN = 1e-12  # a cluster is only left for one that is better by more than rounding


class CoClusters(NamedTuple):
    """Clusters of target, auxiliary data and features.

    Args:
        target, auxiliary, features: cluster of each; target cluster 0 is the largest.
        losses: objective at the start and after each round, in nats; it never rises.
    """

    target: Groups
    auxiliary: Groups
    features: Groups
    losses: tuple[float, ...]


def co_cluster(
    target: Counts,
    auxiliary: Counts,
    *,
    clusters: int,
    auxiliary_clusters: int,
    feature_clusters: int,
    weight: float,
    starts: int,
    seed: int,
) -> CoClusters:
    """Cluster target X and auxiliary data Y over shared features Z by minimising what clustering loses of information.

    The objective is I(X; Z) - I(X~; Z~) + weight (I(Y; Z) - I(Y~; Z~)), where ~ are the clusters. In turn, each X, each
    Y and each Z moves to the cluster to which its conditional distribution is nearest in Kullback-Leibler divergence,
    until none moves; no move raises the objective.

    Args:
        target, auxiliary: (point, feature) counts of the same features.
        weight: of the auxiliary data; 0 co-clusters the target alone (Dhillon et al. 2003).
        starts: number of random starts, of which the best counts; one that leaves a target cluster empty does not.
        seed: of the first start; the next one has the next seed.

    Raises:
        LiverError: every start left a target cluster empty.

    Source: Dai, Yang, Xue and Yu 2008, doi:10.1145/1390156.1390182, algorithm 1.
    """
    p, q = target / target.sum(), auxiliary / auxiliary.sum()
    sizes = (clusters, auxiliary_clusters, feature_clusters)
    found = [_from_start(p, q, sizes, weight, np.random.default_rng(seed + start)) for start in range(starts)]
    whole = [each for each in found if len(np.unique(each.target)) == clusters]
    if not whole:
        raise LiverError(f"clusters={clusters}: each of {starts} starts left a cluster empty; choose fewer clusters")
    best = min(whole, key=lambda each: each.losses[-1])
    return best._replace(target=largest_first(best.target, clusters))


def lost_information(joint: Joint, rows: Groups, columns: Groups) -> float:
    """Return I(X; Z) - I(X~; Z~) in nats of a joint distribution whose rows and columns are merged into clusters."""
    return mutual_information(joint) - mutual_information(_merged(joint, rows, columns))


def mutual_information(joint: Joint) -> float:
    """Return sum p(x, z) log(p(x, z) / (p(x) p(z))) in nats."""
    independent = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    some = joint > 0
    return float((joint[some] * np.log(joint[some] / independent[some])).sum())


def binned_counts(target: Activations, auxiliary: Activations, bins: int) -> tuple[Counts, Counts]:
    """Return a feature for each channel and bin: 1 where the point's activation lies in that bin, else 0.

    The bins of a channel hold equal numbers of the points of both sets together.
    """
    both = np.concatenate([target, auxiliary])
    edges = np.quantile(both, np.arange(1, bins) / bins, axis=0)  # (edge, channel)
    places = (both[None] > edges[:, None]).sum(axis=0)  # (point, channel)
    counts = np.eye(bins)[places].reshape(len(both), -1)
    return counts[: len(target)], counts[len(target) :]


def _from_start(p: Joint, q: Joint, sizes: tuple[int, int, int], weight: float, rng: np.random.Generator) -> CoClusters:
    (of_x, of_y, of_z), features = sizes, p.shape[1]
    x, y, z = (rng.integers(k, size=n) for n, k in zip((len(p), len(q), features), sizes, strict=True))

    def loss() -> float:
        return lost_information(p, x, z) + weight * lost_information(q, y, z)

    losses = [loss()]
    for _ in range(_ITERATIONS):
        before = (x, y, z)
        x = _nearest(x, _row_scores(p, x, z, of_x, of_z))
        y = _nearest(y, _row_scores(q, y, z, of_y, of_z))
        scores = _row_scores(p.T, z, x, of_z, of_x)
        if weight:
            scores = scores + weight * _row_scores(q.T, z, y, of_z, of_y)
        z = _nearest(z, scores)
        losses.append(loss())
        if all(np.array_equal(old, new) for old, new in zip(before, (x, y, z), strict=True)):
            break
    return CoClusters(x, y, z, tuple(losses))


def _nearest(now: Groups, scores: Scores) -> Groups:
    best = scores.argmax(axis=1)
    points = np.arange(len(now))
    return np.where(scores[points, best] > scores[points, now] + _LEAST_GAIN, best, now)


def _row_scores(joint: Joint, rows: Groups, columns: Groups, row_clusters: int, column_clusters: int) -> Scores:
    """Return sum over column clusters of p(row, column~) log p(column~ | row~) for each row and row cluster.

    Up to a constant of the row, this is -p(row) KL(p(Z | row) || p~(Z | row~)); minus infinity where the row has what
    the cluster lacks.
    """
    own = joint @ np.eye(column_clusters)[columns]  # (row, column~)
    merged = np.eye(row_clusters)[rows].T @ own
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(merged / merged.sum(axis=1, keepdims=True))  # an empty cluster has nan
        parts = own[:, None] * np.nan_to_num(logs, nan=-np.inf, neginf=-np.inf)[None]
    scores: np.ndarray = np.where(own[:, None] > 0, parts, 0.0).sum(axis=2)
    return scores


def _merged(joint: Joint, rows: Groups, columns: Groups) -> Float[np.ndarray, "row column"]:
    merged = np.zeros((rows.max() + 1, columns.max() + 1))
    np.add.at(merged, (rows[:, None], columns[None]), joint)
    return merged
