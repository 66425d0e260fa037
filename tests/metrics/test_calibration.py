import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lightning_liver.errors import LiverError
from lightning_liver.metrics.calibration import calibration_rows, empty, expected_calibration_error, update

SHAPE = (3, 2, 4, 5)
probabilities = hnp.arrays(np.float32, SHAPE, elements=st.floats(0, 1, width=32))
truths = hnp.arrays(bool, SHAPE)


def table(p: np.ndarray, truth: np.ndarray, bins: int = 10) -> torch.Tensor:
    made = empty(bins)
    update(made, torch.from_numpy(p), torch.from_numpy(truth))
    return made


@settings(max_examples=30)
@given(p=probabilities, truth=truths)
def test_error_is_the_mean_gap_between_confidence_and_truth_of_the_bins(p: np.ndarray, truth: np.ndarray) -> None:
    errors = expected_calibration_error(table(p, truth))
    for c in range(2):
        mine, true = p[:, c].ravel().astype(np.float64), truth[:, c].ravel()
        number = np.minimum((mine * 10).astype(int), 9)
        gaps = [abs(mine[number == n].mean() - true[number == n].mean()) * (number == n).mean() for n in set(number)]
        assert float(errors[c]) == pytest.approx(sum(gaps))


@settings(max_examples=30)
@given(p=probabilities, truth=truths)
def test_tables_of_parts_add_up(p: np.ndarray, truth: np.ndarray) -> None:
    parts = table(p[:1], truth[:1]) + table(p[1:], truth[1:])
    torch.testing.assert_close(parts, table(p, truth))


def test_probabilities_equal_to_true_fractions_have_no_error() -> None:
    p = np.repeat(np.array([0.25, 0.75], np.float32), 400).reshape(1, 1, -1).repeat(2, axis=1)
    truth = np.zeros(p.shape, bool)
    truth[..., :100] = truth[..., 400:700] = True
    assert expected_calibration_error(table(p, truth)).tolist() == [0, 0]
    assert expected_calibration_error(table(p, ~truth)).tolist() == [0.5, 0.5]


def test_rows_are_a_reliability_diagram() -> None:
    p = torch.tensor([[[0.1, 0.9, 1.0]], [[0.2, 0.6, 0.7]]]).permute(1, 0, 2)
    truth = torch.tensor([[[False, True, False]], [[True, False, True]]]).permute(1, 0, 2)
    made = empty(2)
    update(made, p, truth)
    low, high, *_ = calibration_rows(made)
    assert [low[name] for name in ("structure", "bin_low", "bin_high", "voxels", "true_share")] == [
        "liver",
        0,
        0.5,
        1,
        0,
    ]
    assert (high["voxels"], high["true_share"]) == (2, 0.5)
    assert high["mean_probability"] == pytest.approx(0.95)
    assert calibration_rows(empty(2))[0]["mean_probability"] is None


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_values_outside_0_to_1_are_refused(value: float) -> None:
    with pytest.raises(LiverError, match="expected probabilities in"):
        table(np.full(SHAPE, value, np.float32), np.zeros(SHAPE, bool))


def test_error_of_an_empty_table_is_nan() -> None:
    assert expected_calibration_error(empty(5)).isnan().all()


def test_update_without_voxels_changes_nothing() -> None:
    counted = empty(5)
    update(counted, torch.zeros(1, 2, 0), torch.zeros(1, 2, 0, dtype=torch.bool))
    assert not counted.any()
    assert expected_calibration_error(counted).isnan().all()
