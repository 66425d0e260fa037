from pathlib import Path

import numpy as np
import pytest
from scipy.stats import t as student

from experiments.verdicts.simulation import Design, crossed_p, draw, family_wise, patients_p, rejections
from lightning_liver.comparison.crossed import components, difference, mean, tables_of, usual_variance
from lightning_liver.comparison.results import gather
from lightning_liver.comparison.runs import scores
from lightning_liver.comparison.statistics import compare, seed_scores
from lightning_liver.metrics.intervals import Mean


def looped_variance(values: list[float]) -> float:
    middle = sum(values) / len(values)
    return sum((value - middle) ** 2 for value in values) / (len(values) - 1)


def looped_anova(table: list[list[float]]) -> tuple[list[float], list[float], float]:
    """Return the means of patients, the means of seeds and the mean square of the rest, without NumPy."""
    seeds, patients = len(table), len(table[0])
    of_patients = [sum(row[n] for row in table) / seeds for n in range(patients)]
    of_seeds = [sum(row) / patients for row in table]
    whole = sum(of_seeds) / seeds
    squares = 0.0
    for s in range(seeds):
        for n in range(patients):
            squares += (table[s][n] - of_patients[n] - of_seeds[s] + whole) ** 2
    return of_patients, of_seeds, squares / ((seeds - 1) * (patients - 1))


@pytest.mark.parametrize(("seeds", "other_seeds", "patients"), [(2, 2, 5), (3, 5, 8), (5, 3, 16)])
def test_difference_is_that_of_a_plain_analysis_of_variance(seeds: int, other_seeds: int, patients: int) -> None:
    random = np.random.default_rng(seeds)
    difficulty = random.normal(0.6, 0.2, patients)
    tables = [
        difficulty + random.normal(0, 0.05, (n, 1)) + random.normal(0, 0.05, (n, patients))
        for n in (seeds, other_seeds)
    ]
    (first, means, rest), (second, other_means, other_rest) = (looped_anova(table.tolist()) for table in tables)
    value = sum(first) / patients - sum(second) / patients
    of_patients = looped_variance([a - b for a, b in zip(first, second, strict=True)]) / patients
    own, other = looped_variance(means) / seeds, looped_variance(other_means) / other_seeds
    of_rest = rest / (seeds * patients) + other_rest / (other_seeds * patients)
    alone = max(of_patients - of_rest, 0)
    variance = own + other + alone
    freedom = variance**2 / (own**2 / (seeds - 1) + other**2 / (other_seeds - 1) + alone**2 / (patients - 1))

    estimate = difference(*tables)
    assert (estimate.value, estimate.of_patients, estimate.of_rest) == pytest.approx((value, of_patients, of_rest))
    assert estimate.of_seeds == pytest.approx(own + other)
    assert (estimate.error, estimate.freedom) == pytest.approx((variance**0.5, freedom))
    assert estimate.p == pytest.approx(2 * student.sf(abs(value) / variance**0.5, freedom))
    half = student.ppf(0.975, freedom) * variance**0.5
    assert estimate.interval == pytest.approx((value, value - half, value + half))


def test_difference_changes_its_sign_alone_if_configurations_are_exchanged() -> None:
    first, second = draw(Design(8, 3, 0.02), np.random.default_rng(1))
    one, other = difference(first, second), difference(second, first)
    assert (one.value, one.p, one.error) == pytest.approx((-other.value, other.p, other.error))


@pytest.mark.parametrize("gain", [0.02, 0.1])
def test_interval_excludes_zero_where_p_is_below_5_percent(gain: float) -> None:
    random = np.random.default_rng(2)
    for _ in range(50):
        estimate = difference(*draw(Design(8, 3, 0.01, gain), random))
        _, low, high = estimate.interval
        assert low is not None
        assert high is not None
        assert (estimate.p < 0.05) == (low > 0 or high < 0)


def test_mean_is_that_of_a_plain_analysis_of_variance() -> None:
    scores = draw(Design(8, 3, 0.02), np.random.default_rng(3))[0]
    of_patients, of_seeds, rest = looped_anova(scores.tolist())
    estimate = mean(scores)
    assert estimate.value == pytest.approx(scores.mean())
    assert estimate.of_patients == pytest.approx(looped_variance(of_patients) / 8)
    assert estimate.of_seeds == pytest.approx(looped_variance(of_seeds) / 3)
    assert estimate.of_rest == pytest.approx(rest / 24)


@pytest.mark.parametrize("scores", [np.full((2, 5), 0.7), np.tile([0.1, 0.5, 0.6, 0.7, 0.9], (3, 1))])
def test_equal_scores_have_p_1_and_no_interval(scores: np.ndarray) -> None:
    estimate = difference(scores, scores.copy())
    assert estimate.p == 1
    assert estimate.interval == Mean(0, None, None)


def test_one_seed_has_no_tables() -> None:
    one, two = {0: {"A": 0.5, "B": 0.6}}, {0: {"A": 0.5, "B": 0.6}, 1: {"A": 0.4, "B": 0.7}}
    assert tables_of(one, two) is None
    assert tables_of(two, one) is None
    assert tables_of({}, two) is None
    assert tables_of(two, two) is not None


def test_seed_that_lacks_patients_is_left_out_where_that_keeps_more_scores() -> None:
    whole = {"A": 0.5, "B": 0.6, "C": 0.7, "D": 0.8}
    tables = tables_of({0: whole, 1: whole, 2: {"A": 0.1}}, {0: whole, 1: whole})
    assert tables is not None
    assert [table.tolist() for table in tables] == [[[0.5, 0.6, 0.7, 0.8]] * 2] * 2


def test_configurations_may_differ_in_their_seeds() -> None:
    scores = draw(Design(8, 5, 0.0), np.random.default_rng(5))
    first, second = (
        {seed: {str(n): float(v) for n, v in enumerate(row)} for seed, row in enumerate(own)} for own in scores
    )
    tables = tables_of(first, {seed: second[seed] for seed in range(3)})
    assert tables is not None
    assert [len(table) for table in tables] == [5, 3]


def test_patients_are_left_out_where_two_seeds_would_not_remain() -> None:
    whole, part = {"A": 0.5, "B": 0.6, "C": 0.7}, {"A": 0.1, "C": 0.3}
    tables = tables_of({0: whole, 1: part}, {0: whole, 1: whole})
    assert tables is not None
    assert [table.tolist() for table in tables] == [[[0.5, 0.7], [0.1, 0.3]], [[0.5, 0.7]] * 2]


def test_components_are_near_the_known_standard_deviations() -> None:
    random = np.random.default_rng(4)
    found = []
    for _ in range(40):
        luck, patients = random.normal(0, 0.05, (8, 1)), random.normal(0, 0.15, 30)
        found.append(components(0.6 + patients + luck + random.normal(0, 0.03, (8, 30))))
    assert np.mean(found, axis=0) == pytest.approx([0.15, 0.05, 0.03], rel=0.1)


def test_seeds_luck_is_not_taken_for_an_effect() -> None:
    design = Design(8, 2, 0.05)
    assert rejections(design, crossed_p, 300) <= 0.08
    assert rejections(design, patients_p, 300) > 0.15  # what a test over patients alone does
    assert rejections(design._replace(seeds=3, luck=0.0, gain=0.15), crossed_p, 100) > 0.4


@pytest.mark.slow
@pytest.mark.parametrize(
    "design",
    [
        Design(5, 2, 0.0),
        Design(5, 5, 0.0),
        Design(8, 2, 0.05),
        Design(8, 3, 0.02),
        Design(16, 5, 0.05),
        Design(26, 3, 0.05),
    ],
    ids=str,
)
def test_crossed_test_has_at_most_5_percent_false_alarms(design: Design) -> None:
    assert rejections(design, crossed_p, 600) <= 0.066  # at 5 %, 96 of 100 such simulations are below


@pytest.mark.slow
@pytest.mark.parametrize(
    "design",
    [
        Design(8, 2, 0.02, configurations=12),
        Design(16, 3, 0.05, configurations=12),
        Design(16, 2, 0.05, configurations=12),
        Design(8, 2, 0.05, configurations=12),
    ],
    ids=str,
)
def test_twelve_configurations_have_at_most_5_percent_studies_with_a_false_alarm(design: Design) -> None:
    assert family_wise(design, 300, seed=1) <= 0.08  # at 5 %, 99 of 100 such simulations are


def test_seeds_that_agree_by_chance_count_as_those_of_the_median_configuration() -> None:
    patients = {str(n): 0.5 + n / 100 for n in range(6)}

    def seeds(*luck: float) -> dict[int, dict[str, float]]:
        return {seed: {name: score + own for name, score in patients.items()} for seed, own in enumerate(luck)}

    some = [seeds(0.0, 0.0), seeds(0.0, 0.02), seeds(0.0, 0.04)]
    assert usual_variance(some) == pytest.approx(np.var([0, 0.02], ddof=1))
    assert usual_variance(some[:2]) == 0, "of two configurations none is usual"
    assert usual_variance([*some, seeds(0.3)]) == usual_variance(some), "one seed has no variance"
    first, second = tables_of(some[0], some[1]) or pytest.fail("no tables")
    floored, plain = difference(first, second, usual_variance(some)), difference(first, second)
    assert floored.of_seeds == pytest.approx(2 * plain.of_seeds)


@pytest.mark.slow
@pytest.mark.parametrize("structure", ["liver", "tumour"])
@pytest.mark.parametrize("name", ["losses", "augmentation", "focal_grid", "finetuning"])
def test_seeds_of_one_configuration_of_a_study_are_never_told_apart(name: str, structure: str) -> None:
    """Each seed against the others as if it were another configuration, which differs in nothing but luck."""
    rows = scores(gather([Path(__file__).parents[2] / "experiments" / name]))
    for configuration, seeds in seed_scores(rows, structure).items():
        for seed in seeds:
            others = {other: own for other, own in seeds.items() if other != seed}
            ((pair,),) = compare([{configuration: {seed: seeds[seed]}, "the others": others}])
            assert pair.of_networks
            assert not pair.are_told_apart
