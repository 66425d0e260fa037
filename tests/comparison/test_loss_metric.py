import numpy as np
import pytest

from lightning_liver.comparison.loss_metric import (
    Value,
    agreement,
    loss_metric_text,
    matrix,
    matrix_rows,
    own_ranks,
    ranks,
)

OWN = {"loss=bce": "bce", "loss=dice": "dice", "loss=focal": "focal", "loss=focal loss.gamma=5": "focal"}
# tumour Dice, liver Dice, 1 - bce, 1 - dice, 1 - focal of each
VALUES = {
    "loss=bce": (0.4, 0.90, 0.99, 0.4, -0.5),
    "loss=dice": (0.7, 0.91, 0.10, 0.8, -3.0),
    "loss=focal": (0.6, 0.92, 0.20, 0.7, 0.9),
    "loss=focal loss.gamma=5": (0.5, 0.93, 0.30, 0.6, 0.8),
}
METRICS = ("tumour Dice", "liver Dice", "1 - bce", "1 - dice", "1 - focal")
TABLE = matrix(Value(name, m, v) for name, row in VALUES.items() for m, v in zip(METRICS, row, strict=True))


def line(text: str, start: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(start))


def test_runs_of_a_configuration_are_averaged_without_infinite_values() -> None:
    values = [Value("a", "1 - bce", 0.2), Value("a", "1 - bce", 0.4), Value("b", "1 - bce", np.nan)]
    assert matrix([*values, Value("b", "tumour Dice", 0.5)]) == {
        "tumour Dice": {"b": 0.5},
        "1 - bce": {"a": pytest.approx(0.3)},
    }


def test_csv_has_a_row_for_each_configuration_with_unrounded_values() -> None:
    rows = matrix_rows(TABLE)
    assert [row["configuration"] for row in rows] == sorted(VALUES)
    assert dict(rows[0]) == {"configuration": "loss=bce"} | dict(zip(METRICS, VALUES["loss=bce"], strict=True))
    assert matrix_rows(matrix([Value("a", "1 - bce", 1 / 3), Value("b", "1 - dice", 1.0)]))[0]["1 - bce"] == 1 / 3


def test_equal_values_share_the_better_rank() -> None:
    assert ranks({"a": 0.1, "b": 0.1 + 0.2, "c": 0.3, "d": 0.2}) == {"a": 4, "b": 1, "c": 1, "d": 3}


def test_agreement_is_spearmans_correlation_over_common_configurations() -> None:
    assert agreement(TABLE, "1 - dice", "tumour Dice") == pytest.approx(1)
    # ranks 4 1 2 3 and 4 3 2 1: squared differences 0 + 4 + 0 + 4, and 1 - 6 * 8 / (4 * 15)
    assert agreement(TABLE, "tumour Dice", "liver Dice") == pytest.approx(0.2)
    partial = {"tumour Dice": TABLE["tumour Dice"], "1 - bce": {"loss=bce": 1.0, "loss=dice": 0.0}}
    assert agreement(partial, "1 - bce", "tumour Dice") is None
    assert agreement({"a": dict.fromkeys("xyz", 0.5), "b": {"x": 1, "y": 2, "z": 3}}, "a", "b") is None


def test_own_rank_is_the_best_of_configurations_trained_with_the_loss() -> None:
    assert own_ranks(TABLE, OWN) == {"1 - bce": 1, "1 - dice": 1, "1 - focal": 1}
    assert own_ranks(TABLE, {"loss=bce": "dice", "loss=dice": "bce"}) == {"1 - dice": 4, "1 - bce": 4}
    assert own_ranks({"1 - bce": {"loss=bce": 0.5}}, OWN) == {}


def test_line_of_a_metric_has_the_best_three_the_own_rank_and_the_correlations() -> None:
    text = loss_metric_text(TABLE, OWN)
    cells = [cell.strip() for cell in line(text, "1 - dice").split("  ") if cell.strip()]
    best = ["loss=dice 0.800", "loss=focal 0.700", "loss=focal loss.gamma=5 0.600"]
    assert cells == ["1 - dice", *best, "1 of 4", "1.000", "0.200"]
    assert line(text, "tumour Dice").split("  ")[-1].strip() == "0.200"


def test_remarks_count_losses_whose_own_model_ranks_first() -> None:
    words = "losses that were both trained with and measured, the model trained with the loss is the best"
    text = loss_metric_text(TABLE, OWN | {"loss=dice": "tversky"})
    assert f"- Under 2 of 2 {words}: bce, focal." in text
    assert f"- Under 0 of 1 {words}." in loss_metric_text(TABLE, {"loss=bce": "dice"})
    assert "No configuration was trained with a loss that was measured." in loss_metric_text(TABLE, {})


def test_remarks_list_losses_that_agree_with_dice_and_those_that_do_not() -> None:
    text = loss_metric_text(TABLE, OWN)
    # bce against tumour Dice: ranks 1 4 3 2 and 4 1 2 3, opposite
    # focal: ranks 3 4 1 2 and 4 1 2 3: squared differences 1 + 9 + 1 + 1, 1 - 72 / 60
    assert (
        "- Over 4 configurations these losses agree with tumour Dice (rank correlation 0.7 or more): dice +1.00; "
        "these do not (below 0.3): focal -0.20, bce -1.00." in text
    )


def test_remarks_warn_of_unbounded_losses_and_of_ranks_without_a_test() -> None:
    text = loss_metric_text(TABLE, OWN)
    assert (
        "1 - loss is no accuracy for a loss without bounds (lovasz_hinge, hausdorff, boundary, shape_aware, bce" in text
    )
    assert "Here it leaves 0 to 1 for focal." in text
    assert "Ranks are of means, without a test" in text


def test_two_configurations_have_a_table_and_no_correlation() -> None:
    table = {metric: {name: scores[name] for name in ("loss=bce", "loss=dice")} for metric, scores in TABLE.items()}
    text = loss_metric_text(table, OWN)
    assert "With 2 configurations a rank correlation says nothing." in text
    assert line(text, "1 - bce").split()[-1] == "-"


def test_runs_without_measured_losses_are_left_out_with_a_remark() -> None:
    assert "left out" not in loss_metric_text(TABLE, OWN)
    assert "1 complete run has no losses.csv and is left out here." in loss_metric_text(TABLE, OWN, 1)
    assert "2 complete runs have no losses.csv and are left out here." in loss_metric_text(TABLE, OWN, 2)


def test_without_any_measured_loss_there_is_no_section() -> None:
    assert loss_metric_text({"tumour Dice": {"loss=bce": 0.5}}, OWN, 3) == ""
    assert loss_metric_text({}, {}) == ""
