from collections.abc import Mapping
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, rankdata

from lightning_liver.comparison.runs import Score
from lightning_liver.comparison.statistics import (
    ALPHA,
    SeedScores,
    compare,
    configuration_mean,
    holm,
    over_seeds,
    paired_differences,
    pairs_of,
    patients_needed,
    rank_biserial,
    rank_frequencies,
    seed_means,
    seed_scores,
    signed_rank,
    smallest_p,
)

NAMES = ("bce", "dice", "focal", "tversky")


def score(patient: str, case: str, dice: float | None, seed: int = 0, configuration: str = "bce") -> Score:
    return Score(f"{configuration}-{seed}", configuration, seed, 0, patient, case, "tumour", dice)


def study(random: np.random.Generator, patients: int, better_by: float = 0.0) -> dict[str, dict[str, float]]:
    """Return Dice-like scores of four configurations: easy and hard patients, skewed, in [0, 1]."""
    difficulty = random.normal(0.6, 0.2, patients)
    return {
        name: {
            str(n): float(np.clip(difficulty[n] - random.gamma(1, 0.1) + better_by * (name == "dice"), 0, 1))
            for n in range(patients)
        }
        for name in NAMES
    }


def test_scans_of_a_patient_are_averaged_in_each_run_and_then_the_runs() -> None:
    rows = [score("A", "1", 0.2), score("A", "2", 0.4), score("A", "1", 0.9, seed=1), score("B", "3", 0.7)]
    table = seed_scores([*rows, score("A", "2", None, seed=1)], "tumour")
    assert table == {"bce": {0: {"A": pytest.approx(0.3), "B": 0.7}, 1: {"A": 0.9}}}
    assert over_seeds(table) == {"bce": {"A": pytest.approx((0.3 + 0.9) / 2), "B": pytest.approx(0.7)}}


def test_other_structures_do_not_count() -> None:
    assert seed_scores([score("A", "1", 0.2)], "liver") == {}


def one_seed(table: Mapping[str, Mapping[str, float]]) -> SeedScores:
    return {name: {0: scores} for name, scores in table.items()}


def signed_rank_by_enumeration(differences: list[float]) -> float:
    """Return the two-sided p from all 2**n signs, written out."""
    ranks = rankdata(np.abs(differences))
    middle = ranks.sum() / 2
    seen = abs(ranks[np.array(differences) > 0].sum() - middle)
    sums = [np.dot(ranks, signs) for signs in product((0, 1), repeat=len(differences))]
    return float(np.mean([abs(total - middle) >= seen - 1e-9 for total in sums]))


@given(st.lists(st.integers(-6, 6).filter(bool), min_size=1, max_size=8))
def test_signed_rank_is_exact_with_and_without_ties(differences: list[int]) -> None:
    expected = signed_rank_by_enumeration([float(each) for each in differences])
    assert signed_rank(np.array(differences, dtype=float)) == pytest.approx(expected)


@pytest.mark.parametrize("patients", [20, 60])
def test_signed_rank_of_many_with_ties_is_a_p_value_without_warnings(patients: int) -> None:
    differences = np.random.default_rng(0).integers(-3, 5, patients).astype(float)
    assert 0 < signed_rank(differences) < 1


def test_signed_rank_of_equal_scores_is_1() -> None:
    assert signed_rank(np.zeros(9)) == 1
    assert rank_biserial(np.zeros(9)) == 0


@pytest.mark.parametrize("patients", [1, 2, 5, 8, 20])
def test_smallest_p_is_that_of_the_test_if_all_patients_agree(patients: int) -> None:
    assert signed_rank(np.arange(1.0, patients + 1)) == pytest.approx(smallest_p(patients))
    assert signed_rank(np.full(patients, 0.1)) == pytest.approx(smallest_p(patients))


def test_one_tie_among_sixteen_leaves_the_test_exact() -> None:
    differences = np.array([0.1, 0.1, *np.arange(2, 16) / 10])
    assert signed_rank(differences) == pytest.approx(2 * 0.5**16)


@pytest.mark.parametrize("patients", [14, 25, 60])
def test_equal_sizes_of_differences_make_the_sign_test(patients: int) -> None:
    for positive in range(patients + 1):
        differences = np.where(np.arange(patients) < positive, 0.2, -0.2)
        assert signed_rank(differences) == pytest.approx(float(binomtest(positive, patients).pvalue), abs=1e-9)


def test_six_patients_are_needed_for_one_test_and_nine_for_ten() -> None:
    assert patients_needed(1) == 6
    assert patients_needed(10) == 9


def test_holm_equals_steps_by_hand_and_keeps_order() -> None:
    assert holm([0.01, 0.02, 0.03, 0.04, 0.05]) == pytest.approx([0.05, 0.08, 0.09, 0.09, 0.09])
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_is_the_closed_testing_of_bonferroni(p: list[float]) -> None:
    # a hypothesis is rejected if Bonferroni rejects each intersection with it: Marcus, Peritz, Gabriel 1976
    sets = [[bool(n >> i & 1) for i in range(len(p))] for n in range(1, 2 ** len(p))]
    local = [min(1, sum(each) * min(value for value, inside in zip(p, each, strict=True) if inside)) for each in sets]
    closed = [max(value for value, each in zip(local, sets, strict=True) if each[i]) for i in range(len(p))]
    assert holm(p) == pytest.approx(closed)


@pytest.mark.slow
@pytest.mark.parametrize("patients", [8, 30])
def test_at_most_66_of_1000_studies_without_a_difference_have_a_false_positive(patients: int) -> None:
    random = np.random.default_rng(11)
    alarms = 0
    for _ in range(1000):
        table = study(random, patients)
        p = [signed_rank(paired_differences(table, *pair)) for pair in pairs_of(table)]
        alarms += min(holm(p)) <= ALPHA
    assert alarms <= 66, alarms


@pytest.mark.slow
def test_a_true_difference_is_found_in_most_studies_of_30_patients() -> None:
    random = np.random.default_rng(12)
    found = 0
    for _ in range(200):
        table = study(random, 30, better_by=0.15)
        p = [signed_rank(paired_differences(table, name, "dice")) for name in NAMES if name != "dice"]
        found += max(holm(p)) <= ALPHA
    assert found > 140, found


def test_effect_size_is_1_if_first_is_always_better_and_follows_ranks() -> None:
    assert rank_biserial(np.array([0.1, 0.2, 0.3])) == 1
    assert rank_biserial(np.array([0.1, 0.2, -0.3])) == pytest.approx(0)
    assert rank_biserial(np.array([-0.1, 0.0])) == -1


def test_pairs_are_compared_on_common_patients() -> None:
    table = {"bce": {"A": 0.1, "B": 0.2, "C": 0.3}, "dice": {"B": 0.4, "C": 0.4, "D": 0.9}}
    ((pair,),) = compare([one_seed(table)])
    assert (pair.patients, pair.difference.mean) == (2, pytest.approx(-0.15))
    assert pair.smallest_p == 0.5


def test_pairs_without_a_common_patient_are_left_out() -> None:
    assert compare([one_seed({"bce": {"A": 0.1}, "dice": {"B": 0.4}})]) == [[]]


def test_correction_is_over_all_structures_and_pairs_or_against_the_baseline_alone() -> None:
    table = study(np.random.default_rng(0), 12)
    one = compare([one_seed(table)])[0]
    both = compare([one_seed(table)] * 2)
    against = compare([one_seed(table)], baseline="focal")[0]
    assert [len(found) for found in both] == [6, 6]
    assert [pair.smallest_p for pair in one] == pytest.approx([6 * 2**-11] * 6)
    assert [pair.smallest_p for pair in both[1]] == pytest.approx([12 * 2**-11] * 6)
    assert [(pair.first, pair.second) for pair in against] == [(n, "focal") for n in NAMES if n != "focal"]
    assert [pair.smallest_p for pair in against] == pytest.approx([3 * 2**-11] * 3)


def test_five_patients_cannot_tell_anything_apart() -> None:
    table = {"bce": {str(n): 0.1 + n / 100 for n in range(5)}, "dice": {str(n): 0.9 - n / 50 for n in range(5)}}
    ((pair,),) = compare([one_seed(table)])
    assert pair.p == pair.smallest_p == pytest.approx(0.0625)
    assert not pair.is_significant


def test_ranks_are_certain_if_one_is_always_better_and_shared_if_equal() -> None:
    worse = {str(n): 0.5 + n / 100 for n in range(8)}
    better = {patient: value + 0.1 for patient, value in worse.items()}
    assert rank_frequencies(one_seed({"bce": worse, "dice": better})) == {"dice": [1, 0], "bce": [0, 1]}
    assert rank_frequencies(one_seed({"bce": worse, "dice": worse})) == {"bce": [1, 0], "dice": [1, 0]}
    assert rank_frequencies(one_seed({"bce": {"A": 1.0}, "dice": {"B": 1.0}})) == {}


def test_ranks_are_uncertain_if_patients_disagree() -> None:
    random = np.random.default_rng(3)
    table = {name: {str(n): float(value) for n, value in enumerate(random.random(20))} for name in ("bce", "dice")}
    shares = rank_frequencies(one_seed(table))
    assert all(0.02 < share < 0.98 for shares_of in shares.values() for share in shares_of)
    assert all(sum(shares_of) == pytest.approx(1) for shares_of in shares.values())


def test_seed_means_are_over_the_patients_of_all_seeds() -> None:
    assert seed_means({0: {"1": 0.3, "2": 0.9}, 1: {"1": 0.5}}) == {0: 0.3, 1: 0.5}
    assert seed_means({0: {"1": 0.3}, 1: {"2": 0.5}}) == {}


def seeds_of(
    random: np.random.Generator, seeds: int, luck: float, better_by: float = 0.0
) -> dict[int, dict[str, float]]:
    patients = np.random.default_rng(5).beta(5, 2, 16) * 0.8
    return {
        seed: {str(n): float(value) for n, value in enumerate(patients + own + better_by + random.normal(0, 0.01, 16))}
        for seed, own in enumerate(random.normal(0, luck, seeds))
    }


def test_one_seed_compares_networks_and_says_nothing_of_configurations() -> None:
    random = np.random.default_rng(0)
    table = {"bce": seeds_of(random, 1, 0.05), "dice": seeds_of(random, 3, 0.05, better_by=0.2)}
    ((pair,),) = compare([table])
    assert pair.of_networks
    assert pair.is_significant
    assert not pair.are_told_apart
    assert pair.seeds == 1


def test_the_luck_of_seeds_is_not_taken_for_an_effect_and_a_large_effect_is_found() -> None:
    random = np.random.default_rng(1)
    studies = [compare([{"a": seeds_of(random, 3, 0.03), "b": seeds_of(random, 3, 0.03)}])[0][0] for _ in range(200)]
    assert sum(pair.are_told_apart for pair in studies) <= 20
    found = [
        compare([{"a": seeds_of(random, 5, 0.01), "b": seeds_of(random, 5, 0.01, better_by=0.1)}])[0][0]
        for _ in range(20)
    ]
    assert all(pair.are_told_apart and (pair.difference.mean or 0) < 0 for pair in found)


def test_mean_of_several_seeds_has_a_wider_interval_than_that_of_their_average() -> None:
    seeds = seeds_of(np.random.default_rng(2), 3, 0.1)
    alone = configuration_mean({0: over_seeds({"a": seeds})["a"]})
    whole = configuration_mean(seeds)
    assert whole.mean == pytest.approx(alone.mean)
    assert None not in whole
    assert None not in alone
    assert whole.high - whole.low > 1.2 * (alone.high - alone.low)  # type: ignore[operator]
    assert configuration_mean({0: {"1": 0.9, "2": 1.0, "3": 0.5}}).high == 1, "no Dice above 1"
