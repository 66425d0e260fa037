import math

import numpy as np
import pytest

from experiments.verdicts.simulation import Design, crossed_p, planned_power, rejections
from lightning_liver.comparison.crossed import Seeds, difference
from lightning_liver.comparison.power import StudySize, StudyVariances, power, smallest_difference, study_variances
from lightning_liver.comparison.statistics import compare

VARIANCES = StudyVariances(response=0.05**2, seeds=0.02**2, seeds_by_folds=0.03**2, rest=0.04**2)
FOLDED = [StudySize(8, 2, 3), StudySize(4, 4, 2), StudySize(8, 1, 5), StudySize(5, 3, 3)]


def drawn(size: StudySize, variances: StudyVariances, gain: float, random: np.random.Generator) -> np.ndarray:
    """Draw normal scores, (configuration, seed, patient); the first configuration is better by the gain."""
    patients, shape = size.all_patients, (size.configurations, size.seeds)
    seeds = random.normal(0, variances.seeds**0.5, (*shape, 1))
    by_folds = random.normal(0, variances.seeds_by_folds**0.5, (*shape, size.folds)).repeat(size.patients, axis=-1)
    response = random.normal(0, (variances.response / 2) ** 0.5, (size.configurations, 1, patients))
    scores = 0.6 + random.normal(0, 0.15, patients) + response + seeds + by_folds
    scores = scores + random.normal(0, variances.rest**0.5, (*shape, patients))
    scores[0] += gain
    return scores


def seeds_of(scores: np.ndarray) -> list[Seeds]:
    return [
        {seed: {str(n): float(score) for n, score in enumerate(row)} for seed, row in enumerate(own)} for own in scores
    ]


@pytest.mark.parametrize("size", FOLDED)
def test_simulated_studies_tell_the_smallest_difference_in_four_of_five_cases(size: StudySize) -> None:
    random = np.random.default_rng(0)
    gain = smallest_difference(VARIANCES, size)
    p = [difference(*drawn(size, VARIANCES, gain, random)).p for _ in range(600)]
    assert np.mean(np.array(p) <= 0.05) == pytest.approx(0.8, abs=0.06)  # 0.016 is the standard error


@pytest.mark.slow
def test_holms_correction_and_the_usual_variance_of_seeds_are_in_the_power() -> None:
    random = np.random.default_rng(1)
    size = StudySize(8, 1, 3, configurations=6, tests=15)
    gain = smallest_difference(VARIANCES, size)
    told = []
    for _ in range(200):
        table = {str(n): seeds for n, seeds in enumerate(seeds_of(drawn(size, VARIANCES, gain, random)))}
        told.append(
            next(pair for pair in compare([table])[0] if (pair.first, pair.second) == ("0", "1")).are_told_apart
        )
    assert np.mean(told) == pytest.approx(0.8, abs=0.12)  # Holm's later steps add a little, the standard error is 0.03


@pytest.mark.parametrize(
    "design",
    [
        Design(8, 3, 0.02),
        *(pytest.param(each, marks=pytest.mark.slow) for each in (Design(16, 5, 0.05), Design(26, 3, 0.0))),
    ],
)
def test_planned_power_is_within_20_percent_of_that_of_skewed_scores(design: Design) -> None:
    planned, gain = planned_power(design)
    assert planned == pytest.approx(0.8, abs=0.01)
    assert rejections(design._replace(gain=gain), crossed_p, 300, 3) == pytest.approx(planned, rel=0.2)


def test_power_of_no_difference_is_half_of_the_false_alarms() -> None:
    assert power(VARIANCES, StudySize(8, 2, 3), 0.0) <= 0.025
    assert power(VARIANCES, StudySize(8, 2, 3), 1.0) > 0.99


def test_variances_of_many_scores_are_those_they_were_drawn_with() -> None:
    size = StudySize(100, 4, 120, configurations=6)
    folds = {str(n): n // size.patients for n in range(size.all_patients)}
    found = study_variances(seeds_of(drawn(size, VARIANCES, 0.0, np.random.default_rng(2))), folds)
    assert found is not None
    assert [value**0.5 for value in found] == pytest.approx([value**0.5 for value in VARIANCES], rel=0.15)


def test_one_fold_counts_what_varies_with_it_to_the_seeds() -> None:
    size = StudySize(400, 1, 40, configurations=6)
    table = seeds_of(drawn(size, VARIANCES, 0.0, np.random.default_rng(3)))
    found = study_variances(table, {str(n): 0 for n in range(size.all_patients)})
    assert found is not None
    assert found.seeds_by_folds == 0
    assert math.sqrt(found.seeds) == pytest.approx(math.sqrt(VARIANCES.seeds + VARIANCES.seeds_by_folds), rel=0.15)


def test_one_seed_and_one_configuration_have_no_variances() -> None:
    single = seeds_of(drawn(StudySize(8, 1, 1), VARIANCES, 0.0, np.random.default_rng(4)))
    alone = seeds_of(drawn(StudySize(8, 1, 3), VARIANCES, 0.0, np.random.default_rng(4)))[:1]
    folds = {str(n): 0 for n in range(8)}
    assert study_variances(single, folds) is None
    assert study_variances(alone, folds) is None


def test_equal_scores_of_all_seeds_have_no_variances() -> None:
    folds = {str(n): n // 4 for n in range(8)}
    assert study_variances(seeds_of(np.zeros((2, 2, 8))), folds) is None
