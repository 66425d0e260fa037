from typing import Any

import pytest

from lightning_liver.errors import LiverError
from tests.losses.common import CONF, build, named, sample

OUT_OF_RANGE = {
    "weighted_bce": {"positive_weights": [[1.0, -1.0], [1.0, float("nan")], 2.0]},
    "focal": {"gamma": [-1.0, float("nan")], "alpha": [1.5, -0.1], "balanced": ["no", 1]},
    "dice": {"smooth": [0.0, 1e-8, -1.0, "much"]},
    "log_cosh_dice": {"smooth": [0.0]},
    "tversky": {"alpha": [-0.1, float("inf")], "beta": [-0.1], "smooth": [0.0, 1e-8]},
    "focal_tversky": {"gamma": [0.0, float("inf")], "alpha": [-1.0], "smooth": [0.0]},
    "sensitivity_specificity": {"ratio": [-0.1, 1.1], "smooth": [0.0]},
    "hausdorff": {"alpha": [-1.0, 9.0]},
    "dice_bce": {"dice_weight": [-1.0], "bce_weight": [float("inf")], "smooth": [0.0]},
    "dice_focal": {"dice_weight": [-1.0], "focal_weight": [-1.0], "gamma": [-1.0], "balanced": ["no"]},
    "combo": {"alpha": [-0.1, 1.1], "beta": [-0.1, 1.1], "smooth": [0.0]},
    "exponential_logarithmic": {"dice_weight": [-1.0], "bce_weight": [-1.0], "gamma": [0.0, 11.0], "smooth": [0.0]},
    "asymmetric_unified_focal": {"weight": [1.1], "delta": [-0.1], "gamma": [0.95, 1.0, -0.1], "smooth": [0.0]},
    "structural_similarity": {
        "bce_weight": [1.1],
        "window": [1, 4, 3.0, True],
        "sigma": [0.0],
        "beta": [-0.1, 1.1],
    },
    "cldice": {"alpha": [1.1], "iterations": [-1, 2.5, True], "smooth": [0.0]},
}
CASES = [
    (name, option, value)
    for name, options in OUT_OF_RANGE.items()
    for option, values in options.items()
    for value in values
]


@pytest.mark.parametrize(("name", "option", "value"), CASES)
def test_option_out_of_range_is_named_when_the_loss_is_built(name: str, option: str, value: Any) -> None:
    with pytest.raises(LiverError, match=rf"loss\.{option}=.*: expected"):
        build(CONF / f"{name}.yaml", **{option: value})


def test_number_of_weights_must_be_that_of_classes() -> None:
    with pytest.raises(LiverError, match=r"loss\.positive_weights=\[1\.0\]: expected 2 numbers"):
        named("weighted_bce", positive_weights=[1.0])(*sample(0))


def test_unknown_option_is_named() -> None:
    with pytest.raises(LiverError, match=r"loss\.gama=1: expected no option of this name"):
        build(CONF / "focal.yaml", gama=1)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("dice_bce", ("dice_weight", "bce_weight")),
        ("dice_focal", ("dice_weight", "focal_weight")),
        ("exponential_logarithmic", ("dice_weight", "bce_weight")),
    ],
)
def test_sum_with_all_weights_0_is_refused(name: str, parts: tuple[str, str]) -> None:
    with pytest.raises(LiverError, match=rf"loss\.{parts[0]}=0\.0, loss\.{parts[1]}=0\.0: expected a weight above 0"):
        named(name, **dict.fromkeys(parts, 0.0))(*sample(0))
