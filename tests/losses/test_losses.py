import math
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from torch import Tensor

from lightning_liver.errors import LiverError
from lightning_liver.losses.checks import as_float32
from lightning_liver.losses.compound import dice_bce
from lightning_liver.losses.distribution import bce, focal
from lightning_liver.losses.region import dice

CONF = Path(__file__).parents[2] / "conf" / "loss"
YAMLS = sorted(CONF.glob("*.yaml"), key=lambda path: path.stem)
HALVES = (torch.float32, torch.float16, torch.bfloat16)

Loss = Callable[[Tensor, Tensor], Tensor]
Oracle = Callable[[np.ndarray, np.ndarray], float]

every_loss = pytest.mark.parametrize("path", YAMLS, ids=[path.stem for path in YAMLS])


def build(path: Path) -> Loss:
    return instantiate(OmegaConf.load(path))


def target_like(foreground: str, shape: tuple[int, ...]) -> Tensor:
    target = torch.zeros(shape, dtype=torch.uint8)
    if foreground == "full":
        target += 1
    if foreground == "0.1 %":
        target.view(-1)[::1000] = 1
    return target


def sample(seed: int, shape: tuple[int, ...] = (2, 2, 5, 7)) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    return 3 * torch.randn(shape, generator=random), (torch.rand(shape, generator=random) < 0.3).float()


# The formulas of the docstrings again, in float64, one pixel at a time.


def sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))


def focal_oracle(logits: np.ndarray, target: np.ndarray, *, gamma: float, alpha: float, balanced: bool) -> float:
    costs = []
    for logit, y in zip(logits.ravel(), target.ravel(), strict=True):
        p_true = sigmoid(logit) if y == 1 else 1 - sigmoid(logit)
        weight = alpha if y == 1 or not balanced else 1 - alpha
        costs.append(-weight * (1 - p_true) ** gamma * math.log(p_true))
    return math.fsum(costs) / len(costs)


def bce_oracle(logits: np.ndarray, target: np.ndarray) -> float:
    return focal_oracle(logits, target, gamma=0.0, alpha=1.0, balanced=False)


def dice_oracle(logits: np.ndarray, target: np.ndarray, *, smooth: float) -> float:
    per_class = []
    for c in range(logits.shape[1]):
        overlap = squares = 0.0
        for logit, y in zip(logits[:, c].ravel(), target[:, c].ravel(), strict=True):
            overlap += y * sigmoid(logit)
            squares += y**2 + sigmoid(logit) ** 2
        per_class.append(1 - (2 * overlap + smooth) / (squares + smooth))
    return sum(per_class) / len(per_class)


def dice_bce_oracle(
    logits: np.ndarray, target: np.ndarray, *, dice_weight: float, bce_weight: float, smooth: float
) -> float:
    return dice_weight * dice_oracle(logits, target, smooth=smooth) + bce_weight * bce_oracle(logits, target)


EXAMPLES: dict[str, tuple[Loss, Oracle]] = {
    "bce": (bce, bce_oracle),
    **{
        f"{name} {options}": (partial(loss, **options), partial(oracle, **options))
        for name, loss, oracle, choices in (
            (
                "focal",
                focal,
                focal_oracle,
                [
                    {"gamma": gamma, "alpha": alpha, "balanced": balanced}
                    for gamma in (0.0, 0.5, 2.0, 5.0)
                    for alpha in (0.25, 1.0)
                    for balanced in (True, False)
                ],
            ),
            ("dice", dice, dice_oracle, [{"smooth": 1e-5}, {"smooth": 1.0}, {"smooth": 100.0}]),
            ("dice_bce", dice_bce, dice_bce_oracle, [{"dice_weight": 0.7, "bce_weight": 2.0, "smooth": 1.0}]),
        )
        for options in choices
    },
}
every_example = pytest.mark.parametrize(("loss", "oracle"), EXAMPLES.values(), ids=EXAMPLES.keys())


@every_example
def test_value_is_that_of_the_formula_written_out(loss: Loss, oracle: Oracle) -> None:
    logits, target = sample(0)
    expected = oracle(logits.double().numpy(), target.double().numpy())
    assert loss(logits, target).item() == pytest.approx(expected, abs=1e-5)


@every_example
def test_gradient_is_that_of_the_formula_written_out(loss: Loss, oracle: Oracle) -> None:
    logits, target = sample(1, (2, 2, 2, 3))
    logits.requires_grad_()
    loss(logits, target).backward()
    values, truth = logits.detach().double().numpy(), target.double().numpy()
    step, expected = 1e-4, np.zeros(values.shape)
    for place in np.ndindex(*values.shape):
        up, down = values.copy(), values.copy()
        up[place] += step
        down[place] -= step
        expected[place] = (oracle(up, truth) - oracle(down, truth)) / (2 * step)
    np.testing.assert_allclose(logits.grad, expected, atol=1e-5)


@every_loss
@pytest.mark.parametrize("foreground", ["empty", "full", "0.1 %"])
@pytest.mark.parametrize("precision", HALVES, ids=str)
def test_perfect_prediction_costs_almost_nothing(path: Path, foreground: str, precision: torch.dtype) -> None:
    target = target_like(foreground, (1, 2, 512, 512))
    cost = build(path)((40 * target.float() - 20).to(precision), target)
    assert -1e-6 < cost.item() < 1e-3


@every_loss
@pytest.mark.parametrize("foreground", ["empty", "full", "0.1 %"])
@pytest.mark.parametrize("precision", HALVES, ids=str)
@pytest.mark.parametrize("scale", [1.0, 1e4], ids=["plain", "saturated"])
def test_gradients_are_finite(path: Path, foreground: str, precision: torch.dtype, scale: float) -> None:
    shape = (1, 2, 512, 512)
    logits = (scale * torch.randn(shape, generator=torch.Generator().manual_seed(0))).to(precision).requires_grad_()
    cost = build(path)(logits, target_like(foreground, shape))
    cost.backward()
    assert cost.dtype == torch.float32
    assert math.isfinite(cost.item())
    assert torch.isfinite(logits.grad).all()


@every_loss
def test_worse_prediction_costs_more(path: Path) -> None:
    _, target = sample(2)
    right = 8 * target - 4
    costs = [build(path)(logits, target).item() for logits in (right, 0 * right, -right)]
    assert costs == sorted(costs)
    assert costs[0] < costs[1] < costs[2]


@every_loss
@pytest.mark.parametrize("shape", [(2, 1, 5, 7), (1, 2, 5, 7), (2, 2, 7, 5), (2, 2, 1, 1)])
@pytest.mark.usefixtures("unchecked")
def test_unequal_shapes_are_refused_rather_than_broadcast(path: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(LiverError, match="shape"):
        build(path)(torch.zeros(2, 2, 5, 7), torch.zeros(shape))


@pytest.mark.usefixtures("unchecked")
def test_balanced_is_true_or_false() -> None:
    with pytest.raises(LiverError, match=r"loss\.balanced.*'no'"):
        focal(torch.zeros(1, 2, 4, 4), torch.zeros(1, 2, 4, 4), gamma=1.0, alpha=0.5, balanced="no")  # type: ignore[arg-type]


def test_message_about_unequal_shapes_says_both() -> None:
    with pytest.raises(LiverError, match=r"\(2, 1, 5, 7\) but the target \(2, 2, 5, 7\)"):
        as_float32(torch.zeros(2, 1, 5, 7), torch.zeros(2, 2, 5, 7))


@every_loss
def test_whole_number_and_boolean_targets_cost_the_same(path: Path) -> None:
    logits, target = sample(3)
    costs = {build(path)(logits, target.to(kind)).item() for kind in (torch.float32, torch.uint8, torch.bool)}
    assert len(costs) == 1


@every_loss
def test_autocast_does_not_lower_the_precision(path: Path) -> None:
    logits, target = sample(4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cost = build(path)(logits, target)
    assert torch.equal(cost, build(path)(logits, target))


@every_loss
def test_order_of_slices_and_pixels_does_not_matter(path: Path) -> None:
    logits, target = sample(5)
    turned = build(path)(logits.flip(0, 2, 3), target.flip(0, 2, 3))
    torch.testing.assert_close(turned, build(path)(logits, target))


logit_maps = st.lists(st.floats(-30, 30, width=32), min_size=24, max_size=24).map(
    lambda v: torch.tensor(v).view(2, 2, 2, 3)
)
multi_hots = st.lists(st.booleans(), min_size=24, max_size=24).map(lambda v: torch.tensor(v).view(2, 2, 2, 3))
probabilities = st.floats(0, 1)


@settings(deadline=None, max_examples=50)
@given(logits=logit_maps, target=multi_hots)
def test_focal_without_discount_and_factor_one_is_cross_entropy(logits: Tensor, target: Tensor) -> None:
    torch.testing.assert_close(focal(logits, target, gamma=0.0, alpha=1.0, balanced=False), bce(logits, target))


@settings(deadline=None, max_examples=50)
@given(logits=logit_maps, target=multi_hots, alpha=probabilities, gamma=st.floats(0, 5))
def test_focal_swaps_classes_when_alpha_becomes_its_complement(
    logits: Tensor, target: Tensor, alpha: float, gamma: float
) -> None:
    cost = focal(logits, target, gamma=gamma, alpha=alpha, balanced=True)
    swapped = focal(-logits, ~target, gamma=gamma, alpha=1 - alpha, balanced=True)
    torch.testing.assert_close(cost, swapped, rtol=1e-5, atol=1e-6)


@settings(deadline=None, max_examples=50)
@given(logits=logit_maps, target=multi_hots, share=probabilities)
def test_focal_of_a_mixed_target_is_the_mixture(logits: Tensor, target: Tensor, share: float) -> None:
    cost = partial(focal, logits, gamma=2.0, alpha=0.25, balanced=True)
    mixed = share * target.float() + (1 - share) * (~target).float()
    expected = share * cost(target=target) + (1 - share) * cost(target=~target)
    torch.testing.assert_close(cost(target=mixed), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("gamma", [0.0, 1e-3, 0.5, 1.0])
@pytest.mark.parametrize("size", [20.0, 100.0, 6e4])
def test_focal_gradient_is_finite_where_pixels_are_certain(gamma: float, size: float) -> None:
    logits = torch.tensor([size, -size, size, -size]).view(1, 1, 2, 2).requires_grad_()
    target = torch.tensor([1, 1, 0, 0]).view(1, 1, 2, 2)
    focal(logits, target, gamma=gamma, alpha=0.25, balanced=True).backward()
    assert torch.isfinite(logits.grad).all()


def test_empty_class_left_empty_costs_nothing_in_dice() -> None:
    empty = torch.zeros(1, 2, 8, 8)
    assert dice(empty - 1000, empty, smooth=1.0).item() == 0


def test_dice_weighs_classes_equally_and_not_by_their_pixels() -> None:
    target = torch.zeros(1, 2, 10, 10)
    target[0, 0], target[0, 1, 0, 0] = 1, 1
    only_the_large_class_found = torch.stack((target[0, 0], 0 * target[0, 1]))[None] * 2000 - 1000
    assert dice(only_the_large_class_found, target, smooth=1e-6).item() == pytest.approx(0.5, abs=1e-5)


@pytest.mark.parametrize(
    ("loss", "options", "named"),
    [
        (focal, {"gamma": -1.0, "alpha": 0.25, "balanced": True}, "loss.gamma"),
        (focal, {"gamma": float("nan"), "alpha": 0.25, "balanced": True}, "loss.gamma"),
        (focal, {"gamma": 2.0, "alpha": 1.5, "balanced": True}, "loss.alpha"),
        (focal, {"gamma": 2.0, "alpha": -0.1, "balanced": False}, "loss.alpha"),
        (dice, {"smooth": 0.0}, "loss.smooth"),
        (dice_bce, {"dice_weight": -1.0, "bce_weight": 1.0, "smooth": 1.0}, "loss.dice_weight"),
        (dice_bce, {"dice_weight": 1.0, "bce_weight": float("inf"), "smooth": 1.0}, "loss.bce_weight"),
        (dice_bce, {"dice_weight": 0.0, "bce_weight": 0.0, "smooth": 1.0}, "loss.dice_weight"),
    ],
)
def test_option_out_of_range_is_named(loss: Callable[..., Tensor], options: dict[str, float], named: str) -> None:
    with pytest.raises(LiverError, match=named):
        loss(*sample(6), **options)
