"""Purpose of single losses, on examples worked out by hand."""

import numpy as np
import pytest
import torch

from lightning_liver.losses.distance import has_boundary, signed_distance
from lightning_liver.losses.morphology import skeleton
from lightning_liver.losses.region import raised
from tests.losses.common import named, sample
from tests.losses.oracles_of_form import signed


@pytest.mark.parametrize("gamma", [0.0, 1e-3, 0.5, 1.0])
@pytest.mark.parametrize("size", [20.0, 100.0, 6e4])
def test_focal_gradient_is_finite_where_pixels_are_certain(gamma: float, size: float) -> None:
    logits = torch.tensor([size, -size, size, -size]).view(1, 1, 2, 2).requires_grad_()
    target = torch.tensor([1, 1, 0, 0]).view(1, 1, 2, 2)
    named("focal", gamma=gamma)(logits, target).backward()
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("name", ["dice", "tversky", "focal_tversky", "log_cosh_dice", "cldice", "generalised_dice"])
def test_empty_class_left_empty_costs_nothing(name: str) -> None:
    empty = torch.zeros(1, 2, 8, 8)
    assert named(name)(empty - 1000, empty).item() == 0


@pytest.mark.parametrize("name", ["dice", "tversky", "generalised_dice", "lovasz_hinge"])
def test_overlap_weighs_classes_equally_and_not_by_their_pixels(name: str) -> None:
    target = torch.zeros(1, 2, 10, 10)
    target[0, 0], target[0, 1, 0, 0] = 1, 1
    only_the_large_class_found = torch.stack((target[0, 0], 0 * target[0, 1]))[None] * 2 - 1
    certain = only_the_large_class_found * (1 if name == "lovasz_hinge" else 1000)
    options = {"smooth": 1e-6} if name in ("dice", "tversky") else {}
    worst = {"lovasz_hinge": 2.0, "generalised_dice": 1 - 2 * 99 / 99**2 / (1 + 99 / 99**2 + 100 / 99**2)}
    assert named(name, **options)(certain, target).item() == pytest.approx(worst.get(name, 1.0) / 2, abs=1e-5)


def test_signed_distance_is_measured_to_the_nearest_pixel_of_the_other_side() -> None:
    _, target = sample(0, (2, 3, 9, 6))
    target[0, 0], target[1, 2] = 0, 1
    expected = np.stack([signed(mask) for mask in target.flatten(0, 1).numpy()])
    np.testing.assert_allclose(signed_distance(target).flatten(0, 1), expected, atol=1e-6)


@pytest.mark.parametrize("kind", [torch.bool, torch.uint8, torch.float16, torch.bfloat16])
def test_signed_distance_takes_any_kind_of_mask_and_has_no_gradient(kind: torch.dtype) -> None:
    _, target = sample(0)
    assert torch.equal(signed_distance(target.to(kind)), signed_distance(target))
    assert not signed_distance(target.requires_grad_()).requires_grad


def test_has_boundary_is_1_only_where_a_slice_has_one() -> None:
    target = torch.zeros(1, 3, 4, 4)
    target[0, 1], target[0, 2, 1, 1] = 1, 1
    assert has_boundary(target).flatten().tolist() == [0, 0, 1]


@pytest.mark.parametrize("exponent", [0.3, 0.5, 1.0, 2.0])
def test_raised_losses_begin_at_0_and_have_a_finite_slope(exponent: float) -> None:
    costs = torch.tensor([0.0, 1e-8, 1e-7, 1e-5, 1.0], requires_grad=True)
    powers = raised(costs, exponent)
    powers.sum().backward()
    exact = costs.detach().double().numpy() + 1e-7
    assert abs(powers[0]) < 1e-8
    np.testing.assert_allclose(powers.detach(), exact**exponent - 1e-7**exponent, rtol=1e-4, atol=1e-8)
    np.testing.assert_allclose(costs.grad, exponent * exact ** (exponent - 1), rtol=1e-4)


def test_exponential_logarithmic_is_finite_where_nothing_is_right() -> None:
    """Dice is 0 to float32 there, and its logarithm infinite."""
    target = torch.zeros(1, 2, 16, 16)
    target[..., :8] = 1
    for size in (20.0, 1000.0):
        logits = (size - 2 * size * target).requires_grad_()
        cost = named("exponential_logarithmic", smooth=1e-6)(logits, target)
        cost.backward()
        assert torch.isfinite(cost)
        assert torch.isfinite(logits.grad).all()


def test_far_errors_cost_more_at_the_boundary() -> None:
    """A block of wrong pixels beside the truth, and the same block far away."""
    target = torch.zeros(1, 1, 32, 32)
    target[..., 4:12, 4:12] = 1
    near, far = target.clone(), target.clone()
    near[..., 12:14, 4:12] = far[..., 28:30, 4:12] = 1
    for name in ("boundary", "hausdorff", "shape_aware"):
        costs = [named(name)(20 * mask - 10, target).item() for mask in (target, near, far)]
        assert costs[0] < costs[1] < costs[2], name
    assert named("dice")(20 * near - 10, target) == pytest.approx(named("dice")(20 * far - 10, target).item())


def test_false_positive_in_an_empty_slice_costs_a_pixel_at_the_boundary() -> None:
    empty = torch.zeros(1, 2, 8, 8)
    assert named("boundary")(empty + 1000, empty).item() == 1
    assert named("hausdorff")(empty + 1000, empty).item() == 2


def test_structural_similarity_weighs_broken_structure() -> None:
    """Of two equally wrong pixels, the lone one in a flat region disturbs the structure and counts."""
    target = torch.zeros(1, 1, 16, 16)
    target[..., 4:12, 4:12] = 1
    logits = 8 * target - 4
    logits[..., 8, 8] = logits[..., 0, 0] = -logits[..., 8, 8]
    logits.requires_grad_()
    named("structural_similarity", bce_weight=0.0)(logits, target).backward()
    assert logits.grad[..., 8, 8].abs() > 100 * logits.grad[..., 6, 6].abs()


def test_skeleton_of_a_bar_is_its_middle_line() -> None:
    bar = torch.zeros(1, 1, 11, 21)
    bar[..., 3:8, 3:18] = 1
    lines = skeleton(bar, 3)[0, 0]
    assert lines[5, 6:15].eq(1).all()
    assert not lines[3:5, 6:15].any()
    assert not lines[6:8, 6:15].any()


def test_cldice_sees_the_gap_in_a_vessel_that_dice_hardly_sees() -> None:
    vessel = torch.zeros(1, 1, 32, 32)
    vessel[..., 15:18, :] = 1
    broken, thin = vessel.clone(), vessel.clone()
    broken[..., 14:16] = 0
    thin[..., 15, 10:16] = 0
    both = (20 * broken - 10, 20 * thin - 10)
    dice = [named("dice")(logits, vessel).item() for logits in both]
    lines = [named("cldice", alpha=1.0)(logits, vessel).item() for logits in both]
    assert dice[0] == pytest.approx(dice[1])
    assert lines[0] > 1.5 * lines[1]
