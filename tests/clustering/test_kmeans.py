"""Clusters and their agreement, against pairs counted one by one."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_liver.clustering.kmeans import (
    adjusted_rand,
    agreement,
    agreement_difference,
    contingency_tables,
    k_means,
    principal_components,
    standardise,
)
from lightning_liver.errors import LiverError

PARTITIONS = st.integers(2, 24).flatmap(
    lambda n: st.tuples(
        st.lists(st.integers(0, 4), min_size=n, max_size=n), st.lists(st.integers(0, 3), min_size=n, max_size=n)
    )
)


def index(first: list[int], second: list[int]) -> float:
    counted = contingency_tables(np.array(first), np.array(second), ["one"] * len(first))
    return adjusted_rand(counted.sum(axis=0))


def by_pairs(first: list[int], second: list[int]) -> float:
    """2 (ad - bc) / ((a + b)(b + d) + (a + c)(c + d)), pairs together in both, in one, in neither.

    Steinley 2004, doi:10.1037/1082-989X.9.3.386, equation 5.
    """
    a = b = c = d = 0
    for i, j in combinations(range(len(first)), 2):
        together = (first[i] == first[j], second[i] == second[j])
        a, b, c, d = (
            a + (together == (True, True)),
            b + (together == (True, False)),
            c + (together == (False, True)),
            d + (together == (False, False)),
        )
    below = (a + b) * (b + d) + (a + c) * (c + d)
    return 2 * (a * d - b * c) / below if below else 1.0


@given(PARTITIONS)
def test_index_is_that_of_pairs_counted_one_by_one(groups: tuple[list[int], list[int]]) -> None:
    assert index(*groups) == pytest.approx(by_pairs(*groups), abs=1e-12)


@given(PARTITIONS, st.permutations(range(5)), st.permutations(range(4)))
def test_names_and_order_of_groups_do_not_matter(
    groups: tuple[list[int], list[int]], names: list[int], others: list[int]
) -> None:
    first, second = groups
    value = index(first, second)
    assert index([names[g] for g in first], [others[g] for g in second]) == pytest.approx(value, abs=1e-12)
    assert index(second, first) == pytest.approx(value, abs=1e-12)
    assert value <= 1


@given(PARTITIONS)
def test_equal_partitions_score_1(groups: tuple[list[int], list[int]]) -> None:
    assert index(groups[0], groups[0]) == 1


def test_random_partitions_score_0_on_average() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 60)
    values = [index(truth.tolist(), rng.permutation(truth).tolist()) for _ in range(400)]
    assert abs(np.mean(values)) < 0.005


def test_index_is_that_of_a_published_example() -> None:
    """Table of scikit-learn's documentation: 0 0 1 2 against 0 0 1 1."""
    assert index([0, 0, 1, 2], [0, 0, 1, 1]) == pytest.approx(0.5714285714)


@pytest.mark.parametrize("clusters", [2, 3, 5])
def test_k_means_finds_separated_blobs_and_numbers_them_by_size(clusters: int) -> None:
    rng = np.random.default_rng(clusters)
    sizes = 10 * (1 + rng.permutation(clusters))
    truth = rng.permutation(np.repeat(np.arange(clusters), sizes))
    points = 20 * np.eye(clusters, 7)[truth] + rng.standard_normal((len(truth), 7))
    found = k_means(points, clusters, starts=10, seed=0)
    assert index(truth.tolist(), found.tolist()) == 1
    assert np.bincount(found).tolist() == sorted(sizes.tolist(), reverse=True)
    assert np.array_equal(found, k_means(points, clusters, starts=10, seed=0))


def test_more_starts_are_never_worse() -> None:
    points = np.random.default_rng(0).standard_normal((80, 3))

    def inertia(starts: int) -> float:
        groups = k_means(points, 6, starts=starts, seed=0)
        return sum(float(((points[groups == g] - points[groups == g].mean(0)) ** 2).sum()) for g in range(6))

    assert inertia(20) <= inertia(1) + 1e-9


def test_too_few_different_points_are_refused() -> None:
    with pytest.raises(LiverError, match=r"clusters=3: only 2 slices differ"):
        k_means(np.repeat(np.eye(2), 9, axis=0), 3, starts=3, seed=0)


def test_standardised_features_have_unit_scale_and_constant_ones_are_0() -> None:
    rng = np.random.default_rng(0)
    features = np.c_[rng.normal(1e4, 1e-2, 50), rng.normal(0, 1e3, 50), np.full(50, 7.1, np.float32)]
    made = standardise(features)
    assert made.mean(axis=0) == pytest.approx(0, abs=1e-6)
    assert made.std(axis=0) == pytest.approx([1, 1, 0])


def test_principal_components_hold_the_variance_in_order() -> None:
    rng = np.random.default_rng(0)
    points = rng.standard_normal((40, 2)) @ [[9, 3, 0, 1], [0, 1, 2, 0]] + 5
    scores, share = principal_components(points, 3)
    assert share == pytest.approx(1)
    assert np.all(np.diff(scores.std(axis=0)) < 0)
    between = np.linalg.norm(points[:, None] - points, axis=-1)
    assert np.linalg.norm(scores[:, None] - scores, axis=-1) == pytest.approx(between)
    assert principal_components(-points, 1)[0].shape == (40, 1)
    assert 0.8 < principal_components(points, 1)[1] < 1


def test_resampling_patients_does_not_raise_the_index() -> None:
    """A slice and its copy would always agree: random groups of few slices then score above 0."""
    rng = np.random.default_rng(0)
    patients = np.repeat([f"patient-{n}" for n in range(10)], 3).tolist()
    middles = []
    for _ in range(40):
        _, low, high = agreement(contingency_tables(rng.integers(0, 3, 30), rng.integers(0, 3, 30), patients))
        assert low is not None
        assert high is not None
        middles.append((low + high) / 2)
    assert abs(np.mean(middles)) < 0.03


def test_interval_holds_the_index_and_needs_three_patients() -> None:
    rng = np.random.default_rng(0)
    patients = np.repeat([f"patient-{n}" for n in range(12)], 20).tolist()
    truth = rng.integers(0, 3, 240)
    good, bad = np.where(rng.random(240) < 0.8, truth, rng.integers(0, 3, 240)), rng.integers(0, 3, 240)
    scores = [agreement(contingency_tables(truth, groups, patients)) for groups in (good, bad)]
    for value, low, high in scores:
        assert low < value < high
        assert high - low < 0.3
    apart = agreement_difference(contingency_tables(truth, good, patients), contingency_tables(truth, bad, patients))
    assert apart.value == pytest.approx(scores[0].value - scores[1].value)
    assert 0 < apart.low < apart.value < apart.high
    same = agreement_difference(contingency_tables(truth, good, patients), contingency_tables(truth, good, patients))
    assert same == (0, 0, 0), "the resamples are the same ones"
    few = agreement(contingency_tables(truth[:40], good[:40], patients[:40]))
    assert (few.low, few.high) == (None, None)
    nothing = agreement(contingency_tables(truth[:0], good[:0], []))
    assert nothing == (None, None, None)
