"""Identities between losses, for any logits and any truth."""

from functools import partial

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from lightning_liver.losses.classes import PIXELS
from tests.losses.common import logit_maps, multi_hots, named, probabilities, sample

often = settings(deadline=None, max_examples=50)
any_pair = given(logits=logit_maps, target=multi_hots)
close = partial(torch.testing.assert_close, rtol=1e-5, atol=1e-6)

bce = named("bce")


@often
@any_pair
def test_focal_without_discount_and_factor_one_is_cross_entropy(logits: Tensor, target: Tensor) -> None:
    close(named("focal", gamma=0.0, alpha=1.0, balanced=False)(logits, target), bce(logits, target))


@often
@given(logits=logit_maps, target=multi_hots, alpha=probabilities, gamma=st.floats(0, 5))
def test_focal_swaps_classes_when_alpha_becomes_its_complement(
    logits: Tensor, target: Tensor, alpha: float, gamma: float
) -> None:
    cost = named("focal", gamma=gamma, alpha=alpha, balanced=True)(logits, target)
    close(cost, named("focal", gamma=gamma, alpha=1 - alpha, balanced=True)(-logits, ~target))


@often
@given(logits=logit_maps, target=multi_hots, share=probabilities)
def test_focal_of_a_mixed_target_is_the_mixture(logits: Tensor, target: Tensor, share: float) -> None:
    cost = partial(named("focal"), logits)
    mixed = share * target.float() + (1 - share) * (~target).float()
    close(cost(target=mixed), share * cost(target=target) + (1 - share) * cost(target=~target))


@often
@any_pair
def test_weighted_bce_with_equal_weights_is_bce(logits: Tensor, target: Tensor) -> None:
    close(named("weighted_bce", positive_weights=[1.0, 1.0])(logits, target), bce(logits, target))


@often
@given(logits=logit_maps)
def test_balanced_bce_of_as_many_positives_as_negatives_is_half_of_bce(logits: Tensor) -> None:
    target = torch.arange(24).view(2, 2, 2, 3) % 2
    close(named("balanced_bce")(logits, target), bce(logits, target) / 2)


@often
@any_pair
def test_distance_bce_is_at_most_twice_bce(logits: Tensor, target: Tensor) -> None:
    plain, penalised = bce(logits, target), named("distance_bce")(logits, target)
    assert plain * (1 - 1e-6) <= penalised <= 2 * plain * (1 + 1e-6)


@pytest.mark.parametrize("truth", [0.0, 1.0])
def test_distance_bce_without_boundary_is_bce(truth: float) -> None:
    logits, target = sample(0)
    close(named("distance_bce")(logits, 0 * target + truth), bce(logits, 0 * target + truth))


@often
@given(logits=logit_maps, target=multi_hots, smooth=st.floats(0.01, 10))
def test_tversky_of_equal_halves_is_dice_without_squares(logits: Tensor, target: Tensor, smooth: float) -> None:
    p, y = logits.sigmoid(), target.float()
    overlap = (2 * (p * y).sum(PIXELS) + 2 * smooth) / (p.sum(PIXELS) + y.sum(PIXELS) + 2 * smooth)
    close(named("tversky", alpha=0.5, beta=0.5, smooth=smooth)(logits, target), (1 - overlap).mean())


@often
@given(predicted=multi_hots, target=multi_hots, smooth=st.floats(0.01, 10))
def test_tversky_of_equal_halves_is_dice_where_predictions_are_certain(
    predicted: Tensor, target: Tensor, smooth: float
) -> None:
    logits = 200.0 * predicted - 100
    tversky = named("tversky", alpha=0.5, beta=0.5, smooth=smooth)(logits, target)
    close(tversky, named("dice", smooth=2 * smooth)(logits, target))


@often
@given(logits=logit_maps, target=multi_hots, alpha=probabilities, beta=probabilities)
def test_focal_tversky_at_gamma_1_is_tversky(logits: Tensor, target: Tensor, alpha: float, beta: float) -> None:
    options = {"alpha": alpha, "beta": beta, "smooth": 1.0}
    close(named("focal_tversky", gamma=1.0, **options)(logits, target), named("tversky", **options)(logits, target))


@often
@any_pair
def test_log_cosh_dice_is_below_dice_and_half_its_square(logits: Tensor, target: Tensor) -> None:
    target = target[:, :1]
    dice, smoothed = (named(name)(logits[:, :1], target) for name in ("dice", "log_cosh_dice"))
    assert smoothed <= dice.square() / 2 + 1e-6


@often
@given(logits=logit_maps, target=multi_hots, ratio=probabilities)
def test_sensitivity_becomes_specificity_when_sides_swap(logits: Tensor, target: Tensor, ratio: float) -> None:
    swapped = named("sensitivity_specificity", ratio=1 - ratio)(-logits, ~target)
    close(named("sensitivity_specificity", ratio=ratio)(logits, target), swapped)


@often
@any_pair
def test_generalised_dice_stays_when_sides_swap(logits: Tensor, target: Tensor) -> None:
    close(named("generalised_dice")(logits, target), named("generalised_dice")(-logits, ~target))


@often
@given(predicted=multi_hots, target=multi_hots)
def test_lovasz_of_margins_of_one_is_twice_jaccard(predicted: Tensor, target: Tensor) -> None:
    """Errors are 2 in wrong pixels and 0 in right ones, where the extension is the set function itself."""
    either, both = (predicted | target).sum(PIXELS), (predicted & target).sum(PIXELS)
    assume(either.all())
    close(named("lovasz_hinge")(2.0 * predicted - 1, target), (2 * (1 - both / either)).mean())


@often
@any_pair
def test_parts_of_sums_are_the_losses_of_their_names(logits: Tensor, target: Tensor) -> None:
    dice, focal = (named(name)(logits, target) for name in ("dice", "focal"))
    close(named("dice_bce", bce_weight=0.0)(logits, target), dice)
    close(named("dice_bce", dice_weight=0.0)(logits, target), bce(logits, target))
    close(named("dice_focal", focal_weight=0.0)(logits, target), dice)
    close(named("dice_focal", dice_weight=0.0, focal_weight=1.0)(logits, target), focal)
    close(named("combo", alpha=0.0)(logits, target), dice)
    close(named("combo", alpha=1.0, beta=0.5)(logits, target), bce(logits, target) / 2)
    close(named("cldice", alpha=0.0)(logits, target), dice)
    close(named("structural_similarity", bce_weight=1.0)(logits, target), bce(logits, target))


@often
@any_pair
def test_unified_focal_without_asymmetry_is_tversky_of_both_sides_and_cross_entropy(
    logits: Tensor, target: Tensor
) -> None:
    options = {"delta": 0.5, "gamma": 0.0, "smooth": 1.0}
    tversky = named("tversky", alpha=0.5, beta=0.5, smooth=1.0)
    both = (tversky(logits, target) + tversky(-logits, ~target)) / 2
    close(named("asymmetric_unified_focal", weight=0.0, **options)(logits, target), both)
    close(named("asymmetric_unified_focal", weight=1.0, **options)(logits, target), bce(logits, target) / 4)


@often
@any_pair
def test_hausdorff_at_alpha_0_is_twice_the_squared_error(logits: Tensor, target: Tensor) -> None:
    squared = (logits.sigmoid() - target.float()).square().mean()
    close(named("hausdorff", alpha=0.0)(logits, target), 2 * squared)


@often
@any_pair
def test_shape_aware_is_bce_where_no_pixel_is_wrong(logits: Tensor, target: Tensor) -> None:
    right = torch.where(target, logits.abs() + 0.1, -logits.abs())
    close(named("shape_aware")(right, target), bce(right, target))
    assert named("shape_aware")(logits, target) >= bce(logits, target) * (1 - 1e-6)


@often
@any_pair
def test_boundary_is_never_negative(logits: Tensor, target: Tensor) -> None:
    assert named("boundary")(logits, target) >= 0
