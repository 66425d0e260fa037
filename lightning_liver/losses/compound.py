"""Sums of losses of different families."""

from typing import Annotated

import torch
from pydantic import Field
from torch.nn import functional

from lightning_liver.errors import LiverError
from lightning_liver.losses.checks import Masks32, Truth, as_float32
from lightning_liver.losses.classes import PIXELS, ClassWeights, PerClass, mean_of_classes
from lightning_liver.losses.distribution import bce, cross_entropy, focal
from lightning_liver.losses.region import FLOOR, Smooth, dice, dice_per_class, raised, tversky_per_class
from lightning_liver.types.options import Fraction, NonNegative
from lightning_liver.types.tensors import Masks, Scalar

Power = Annotated[float, Field(ge=0.1, le=10)]
Discount = Annotated[float, Field(ge=0, le=0.9)]


def dice_bce(
    logits: Masks,
    target: Truth,
    *,
    dice_weight: NonNegative,
    bce_weight: NonNegative,
    smooth: Smooth,
    class_weights: ClassWeights,
) -> Scalar:
    """Weighted sum, dice_weight * dice + bce_weight * bce.

    Args:
        logits: raw network output, (batch, cls, height, width).
        target: truth in {0, 1}, same shape.
        dice_weight, bce_weight: at least 0, not both 0; not normalised.
        smooth: as in dice.
        class_weights: as in mean_of_classes.

    Raises:
        LiverError: both weights are 0.

    Source: Isensee et al. 2021, doi:10.1038/s41592-020-01008-z (nnU-Net), there with both weights 1.
    """
    _check_weights(dice_weight=dice_weight, bce_weight=bce_weight)
    region = dice(logits, target, smooth=smooth, class_weights=class_weights)
    return dice_weight * region + bce_weight * bce(logits, target, class_weights=class_weights)


def dice_focal(
    logits: Masks,
    target: Truth,
    *,
    dice_weight: NonNegative,
    focal_weight: NonNegative,
    smooth: Smooth,
    gamma: NonNegative,
    alpha: Fraction,
    balanced: bool,
    class_weights: ClassWeights,
) -> Scalar:
    """Weighted sum, dice_weight * dice + focal_weight * focal.

    Args:
        logits: raw network output, (batch, cls, height, width).
        target: truth in {0, 1}, same shape.
        dice_weight, focal_weight: at least 0, not both 0; not normalised.
        smooth: as in dice.
        gamma, alpha, balanced: as in focal.
        class_weights: as in mean_of_classes.

    Raises:
        LiverError: both weights are 0.

    Source: Zhu et al. 2019, arXiv:1808.05238 (AnatomyNet), there with the focal term's weight 0.5.
    """
    _check_weights(dice_weight=dice_weight, focal_weight=focal_weight)
    region = dice(logits, target, smooth=smooth, class_weights=class_weights)
    pixels = focal(logits, target, gamma=gamma, alpha=alpha, balanced=balanced, class_weights=class_weights)
    return dice_weight * region + focal_weight * pixels


def combo(
    logits: Masks, target: Truth, *, alpha: Fraction, beta: Fraction, smooth: Smooth, class_weights: ClassWeights
) -> Scalar:
    """Combo loss, alpha mean(-(beta y log p + (1 - beta) (1 - y) log(1 - p))) + (1 - alpha) dice.

    The paper subtracts the Dice overlap; dice is 1 minus that overlap (with squares), so that perfect costs 0.

    Args:
        logits: raw network output, (batch, cls, height, width).
        target: truth in {0, 1}, same shape.
        alpha: fraction of cross-entropy; 0 is dice.
        beta: price of a false negative, 1 - beta that of a false positive; above 0.5 favours recall.
        smooth: as in dice.
        class_weights: as in mean_of_classes.

    Source: Taghanaki et al. 2019, arXiv:1805.02798; Jadon 2020, arXiv:2006.14822, section II-J.
    """
    logits, target = as_float32(logits, target)
    weights = beta * target + (1 - beta) * (1 - target)
    pixels = (weights * cross_entropy(logits, target)).mean(PIXELS)
    return mean_of_classes(torch.lerp(dice_per_class(logits.sigmoid(), target, smooth), pixels, alpha), class_weights)


def exponential_logarithmic(
    logits: Masks,
    target: Truth,
    *,
    dice_weight: NonNegative,
    bce_weight: NonNegative,
    gamma: Power,
    smooth: Smooth,
    class_weights: ClassWeights,
) -> Scalar:
    """dice_weight (-log Dice)^gamma + bce_weight mean(w (-log p_t)^gamma), p_t the probability of the truth.

    w = sqrt(1 / fraction of the batch's pixels that have this truth in this class); the paper's fractions are those of
    the training set. Dice is 1 - dice, with squares, and at least 1e-7. Powers are those of `raised`: with gamma below
    1 the formula itself has an infinite slope at 0.

    Args:
        logits: raw network output, (batch, cls, height, width).
        target: truth in {0, 1}, same shape.
        dice_weight, bce_weight: at least 0, not both 0; not normalised.
        gamma: below 1 nearly right pixels still count, above 1 wrong ones count more.
        smooth: as in dice.
        class_weights: as in mean_of_classes.

    Raises:
        LiverError: both weights are 0.

    Source: Wong et al. 2018, arXiv:1809.00076, there with weights 0.8 and 0.2 and gamma 0.3; Jadon 2020,
    arXiv:2006.14822, section II-K.
    """
    _check_weights(dice_weight=dice_weight, bce_weight=bce_weight)
    logits, target = as_float32(logits, target)
    overlap_losses = -torch.log1p(-dice_per_class(logits.sigmoid(), target, smooth).clamp(max=1 - FLOOR))
    pixel_losses = _rarity(target) * raised(cross_entropy(logits, target), gamma)
    losses = dice_weight * raised(overlap_losses, gamma) + bce_weight * pixel_losses.mean(PIXELS)
    return mean_of_classes(losses, class_weights)


def asymmetric_unified_focal(
    logits: Masks,
    target: Truth,
    *,
    weight: Fraction,
    delta: Fraction,
    gamma: Discount,
    smooth: Smooth,
    class_weights: ClassWeights,
) -> Scalar:
    """Asymmetric unified focal loss, weight F + (1 - weight) T of each class, averaged over classes.

    F = mean(-delta y log p - (1 - delta) (1 - y) p^gamma log(1 - p)) / 2
    T = ((1 - I_foreground)^(1 - gamma) + 1 - I_background) / 2, the power as in `raised`, where I is the Tversky
    index with delta for false negatives and 1 - delta for false positives of its own side. Only easy background is
    discounted.

    MONAI's is the same for probabilities of one class and one slice: it takes no sigmoid, despite its docstring. The
    authors' code halves T alone, so that F counts twice as much beside it, and gives T the weight, F the rest.

    Args:
        logits: raw network output, (batch, cls, height, width).
        target: truth in {0, 1}, same shape.
        weight: fraction of the cross-entropy part, the paper's lambda.
        delta: price of a false negative, 1 - delta that of a false positive.
        gamma: discount of easy background and emphasis of nearly right foreground; below 1.
        smooth: as in tversky.
        class_weights: as in mean_of_classes.

    Source: Yeung et al. 2022, arXiv:2102.04525 (unified focal loss), there 0.5, 0.6 and 0.5; halved as in MONAI.
    """
    logits, target = as_float32(logits, target)
    p, prices = logits.sigmoid(), (1 - delta, delta)
    foreground = raised(tversky_per_class(p, target, *prices, smooth), 1 - gamma)
    background = tversky_per_class(1 - p, 1 - target, *prices, smooth)
    pixels = _asymmetric_focal(logits, target, delta, gamma)
    return mean_of_classes(torch.lerp(foreground + background, pixels, weight) / 2, class_weights)


def _asymmetric_focal(logits: Masks32, target: Masks32, delta: float, gamma: float) -> PerClass:
    log_p, log_q = functional.logsigmoid(logits), functional.logsigmoid(-logits)
    discounted = (1 - delta) * torch.exp(gamma * log_p) * log_q  # p^gamma without an infinite slope at 0
    return -torch.lerp(discounted, delta * log_p, target).mean(PIXELS)


def _rarity(target: Masks32) -> Masks32:
    """Return sqrt(1 / fraction of pixels) of the side of each pixel, foreground or background."""
    fraction = target.mean(PIXELS, keepdim=True)
    return torch.lerp(1 - fraction, fraction, target).rsqrt()


def _check_weights(**weights: float) -> None:
    """Raise a LiverError unless one is above 0."""
    if not any(weights.values()):
        given = ", ".join(f"loss.{option}={value}" for option, value in weights.items())
        raise LiverError(f"{given}: expected a weight above 0; with none nothing would be learnt")
