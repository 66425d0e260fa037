"""Co-clustering of Dai et al. 2008 against its objective, written out and minimised by trying everything."""

import math
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_liver.clustering.co_clustering import binned_counts, co_cluster, lost_information
from lightning_liver.clustering.kmeans import adjusted_rand, contingency_tables
from lightning_liver.errors import LiverError


def information(joint: dict[tuple[int, int], float]) -> float:
    """I(A; B) of a table of counts, by its definition."""
    total = sum(joint.values())
    rows: dict[int, float] = {}
    columns: dict[int, float] = {}
    for (a, b), count in joint.items():
        rows[a] = rows.get(a, 0) + count / total
        columns[b] = columns.get(b, 0) + count / total
    return sum(n / total * math.log(n / total / (rows[a] * columns[b])) for (a, b), n in joint.items() if n > 0)


def objective(x: Any, y: Any, z: Any, target: np.ndarray, auxiliary: np.ndarray, weight: float) -> float:
    def lost(counts: np.ndarray, rows: Any) -> float:
        fine = {(i, j): float(counts[i, j]) for i, j in np.ndindex(*counts.shape)}
        coarse: dict[tuple[int, int], float] = {}
        for (i, j), count in fine.items():
            coarse[rows[i], z[j]] = coarse.get((rows[i], z[j]), 0.0) + count
        return information(fine) - information(coarse)

    return lost(target, x) + weight * lost(auxiliary, y)


def tables(seed: int, *shapes: tuple[int, int]) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 6, shape) + np.eye(*shape) for shape in shapes]


def options(**changed: Any) -> dict[str, Any]:
    usual = {"clusters": 2, "auxiliary_clusters": 2, "feature_clusters": 2, "weight": 1.0, "starts": 20, "seed": 0}
    return usual | changed


@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.3, 1.0, 4.0]), st.integers(2, 4))
@settings(max_examples=40, deadline=None)
def test_objective_never_rises_and_is_that_of_the_clusters_returned(seed: int, weight: float, clusters: int) -> None:
    target, auxiliary = tables(seed, (9, 7), (11, 7))
    found = co_cluster(target, auxiliary, **options(clusters=2, feature_clusters=clusters, weight=weight, starts=5))
    assert all(later <= earlier + 1e-9 for earlier, later in zip(found.losses, found.losses[1:], strict=False))
    expected = objective(*found[:3], target, auxiliary, weight)
    assert found.losses[-1] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("weight", [0.0, 0.5, 2.0])
def test_tiny_input_reaches_the_least_of_all_clusterings(seed: int, weight: float) -> None:
    target, auxiliary = tables(seed, (4, 4), (3, 4))
    everything = product(*(list(product(range(2), repeat=n)) for n in (4, 3, 4)))
    least = min(objective(x, y, z, target, auxiliary, weight) for x, y, z in everything)
    found = co_cluster(target, auxiliary, **options(weight=weight, starts=40))
    assert found.losses[-1] == pytest.approx(least, abs=1e-9)


def planted(rows: int, rng: np.random.Generator, depth: float) -> tuple[np.ndarray, np.ndarray]:
    """Counts of three row clusters over three feature clusters of 10, the more apart the larger `depth`."""
    truth = np.arange(rows) % 3
    rates = 1 + depth * np.eye(3)
    return rng.poisson(rates[truth].repeat(10, axis=1)) + 1e-6, truth


def rand(first: np.ndarray, second: np.ndarray) -> float:
    return adjusted_rand(contingency_tables(first, second, ["one"] * len(first)).sum(axis=0))


def test_planted_clusters_of_rows_and_features_are_found() -> None:
    rng = np.random.default_rng(0)
    (target, x), (auxiliary, y) = planted(30, rng, 6.0), planted(60, rng, 6.0)
    found = co_cluster(target, auxiliary, **options(clusters=3, auxiliary_clusters=3, feature_clusters=3))
    assert rand(x, found.target) == rand(y, found.auxiliary) == 1
    assert rand(np.arange(30) // 10, found.features) == 1


@pytest.mark.slow
def test_auxiliary_data_help_where_the_target_is_small() -> None:
    """The claim of the paper: features that the auxiliary data group are a better grouping for the target."""
    scores = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        (target, truth), (auxiliary, _) = planted(9, rng, 1.2), planted(300, rng, 1.2)
        for weight in (0.0, 5.0):
            three = options(clusters=3, auxiliary_clusters=3, feature_clusters=3, weight=weight)
            found = co_cluster(target, auxiliary, **three)
            scores.append((rand(truth, found.target), rand(np.arange(30) // 10, found.features)))
    alone, taught = np.mean(scores[::2], axis=0), np.mean(scores[1::2], axis=0)
    assert (taught > alone + 0.25).all()
    assert taught[1] > 0.9


def test_merging_nothing_loses_nothing_and_merging_all_loses_all() -> None:
    [joint] = tables(3, (4, 5))
    joint = joint / joint.sum()
    assert lost_information(joint, np.arange(4), np.arange(5)) == pytest.approx(0, abs=1e-12)
    everything = information({(i, j): float(joint[i, j]) for i, j in np.ndindex(4, 5)})
    assert lost_information(joint, np.zeros(4, int), np.zeros(5, int)) == pytest.approx(everything)


def test_bins_of_a_channel_hold_equal_numbers_of_both_sets() -> None:
    rng = np.random.default_rng(0)
    target, auxiliary = rng.normal(size=(30, 5)), rng.normal(1, 2, size=(50, 5))
    counts = binned_counts(target, auxiliary, 4)
    assert [each.shape for each in counts] == [(30, 20), (50, 20)]
    assert np.array_equal(np.concatenate(counts).sum(axis=0), np.full(20, 20))
    assert np.array_equal(np.concatenate(counts).sum(axis=1), np.full(80, 5))
    constant, _ = binned_counts(np.zeros((3, 1)), np.zeros((2, 1)), 4)
    assert np.array_equal(constant, [[1, 0, 0, 0]] * 3)


def test_more_clusters_than_points_are_refused() -> None:
    target, auxiliary = tables(0, (3, 4), (3, 4))
    with pytest.raises(LiverError, match="clusters=4: each of 2 starts left a cluster empty"):
        co_cluster(target, auxiliary, **options(clusters=4, starts=2))
