import numpy as np
import pytest

from experiments.verdicts.simulation import DISTRIBUTIONS, coverage
from lightning_liver.metrics.intervals import DISTANCE, FRACTION, Mean, mean_interval, mean_over_patients


def test_scans_of_one_patient_are_averaged_first() -> None:
    result = mean_over_patients([0.2, 0.4, 0.9, 0.9], ["A", "A", "B", "C"])
    assert result.mean == pytest.approx((0.3 + 0.9 + 0.9) / 3)


def test_missing_scores_are_left_out() -> None:
    assert mean_over_patients([0.5, None, float("nan")], ["A", "B", "A"]) == Mean(0.5, None, None)
    assert mean_over_patients([None], ["A"]) == Mean(None, None, None)
    assert mean_over_patients([], []) == Mean(None, None, None)


def test_fewer_than_three_patients_have_no_interval() -> None:
    assert mean_over_patients([0.4, 0.6, 0.5, 0.7], ["A", "A", "B", "B"]) == Mean(pytest.approx(0.55), None, None)
    assert mean_over_patients([0.4, 0.6, 0.5], ["A", "B", "C"]).low is not None


def test_equal_patients_have_no_interval() -> None:
    assert mean_over_patients([0.75, 0.75, 0.75], ["A", "B", "C"]) == Mean(0.75, None, None)


def test_three_patients_have_the_interval_of_student_or_a_wider_one() -> None:
    mean, low, high = mean_interval([0.61, 0.72, 0.55])
    half = 4.303 * np.std([0.61, 0.72, 0.55], ddof=1) / np.sqrt(3)
    assert low is not None
    assert low <= 0.627 - half + 1e-3
    assert high is not None
    assert high >= 0.627 + half - 1e-3
    assert mean == pytest.approx(0.6267, abs=1e-4)


def test_interval_ends_at_the_largest_and_least_possible_value() -> None:
    high, low = [0.466, 0.789, 0.811, 0.866, 0.958], [1.0, 2.0, 3.0, 4.0, 400.0]
    assert (mean_interval(high).high or 0) > 1, "without bounds"
    assert mean_interval(high, FRACTION).high == 1
    assert mean_interval(high, FRACTION).low == mean_interval(high).low
    assert mean_interval(low, DISTANCE).low == 0
    assert mean_over_patients(high, list("ABCDE"), FRACTION) == mean_interval(high, FRACTION)


def test_interval_reaches_further_on_the_side_of_the_longer_tail() -> None:
    mean, low, high = mean_interval([0.9, 0.92, 0.91, 0.95, 0.3, 0.93, 0.9, 0.94])
    assert mean is not None
    assert low is not None
    assert high is not None
    assert mean - low > 1.2 * (high - mean)


def test_interval_is_the_same_every_time_and_in_any_order() -> None:
    scores, patients = [0.4, 0.6, 0.9, 0.8], ["A", "B", "C", "D"]
    assert mean_over_patients(scores, patients) == mean_over_patients(scores[::-1], patients[::-1])


def test_interval_is_near_that_of_the_normal_distribution_for_many_patients() -> None:
    scores = np.random.default_rng(0).normal(0.6, 0.1, 200)
    result = mean_over_patients(scores.tolist(), [str(patient) for patient in range(200)])
    half = 1.96 * scores.std(ddof=1) / np.sqrt(200)
    assert result.low == pytest.approx(scores.mean() - half, abs=0.1 * half)
    assert result.high == pytest.approx(scores.mean() + half, abs=0.1 * half)


def test_interval_is_that_of_students_t_for_many_values() -> None:
    values = np.random.default_rng(0).normal(0.6, 0.1, 300)
    mean, low, high = mean_interval(values.tolist())
    half = 1.968 * values.std(ddof=1) / np.sqrt(300)
    assert mean == pytest.approx(values.mean())
    assert low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert high == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_interval_needs_three_values_that_differ() -> None:
    assert mean_interval([]) == Mean(None, None, None)
    assert mean_interval([0.4, 0.6]) == Mean(0.5, None, None)
    assert mean_interval([0.75] * 3) == Mean(0.75, None, None)
    assert mean_interval([0.2, 0.5, 0.6]) == mean_interval([0.2, 0.5, 0.6])


@pytest.mark.slow
@pytest.mark.parametrize("shape", ["normal", "skewed", "some_missed"])
def test_interval_of_30_patients_contains_the_true_mean_in_93_to_98_percent_of_studies(shape: str) -> None:
    random = np.random.default_rng(7)
    draw, truth = {
        "normal": (lambda: random.normal(0.6, 0.15, 30), 0.6),
        "skewed": (lambda: random.beta(2, 0.8, 30), 2 / 2.8),
        "some_missed": (lambda: random.beta(5, 2, 30) * (random.random(30) > 0.15), 0.85 * 5 / 7),
    }[shape]
    intervals = [mean_interval(draw().tolist()) for _ in range(1000)]
    held = np.mean([(low or 0) <= truth <= (high or 0) for _, low, high in intervals])
    assert 0.93 <= held <= 0.98, held


@pytest.mark.slow
@pytest.mark.parametrize("patients", [3, 5, 8, 16, 26])
@pytest.mark.parametrize("shape", DISTRIBUTIONS)
def test_interval_contains_the_true_mean_in_about_95_percent_of_studies(shape: str, patients: int) -> None:
    held = coverage(mean_interval, DISTRIBUTIONS[shape], patients, 2000)
    assert 0.925 <= held <= 0.975, held
