"""Losses of form: local structure around a pixel, and lines that must not break."""

from typing import Annotated

import torch
from jaxtyping import Float32
from pydantic import AfterValidator, Field
from torch import Tensor
from torch.nn import functional

from lightning_liver.losses.checks import Masks32, Truth, as_float32
from lightning_liver.losses.classes import PIXELS, ClassWeights, PerClass, mean_of_classes
from lightning_liver.losses.distribution import cross_entropy
from lightning_liver.losses.morphology import skeleton
from lightning_liver.losses.region import Smooth, dice_per_class
from lightning_liver.types.options import Fraction, Natural
from lightning_liver.types.tensors import Masks, Scalar

STABILITY = 0.01  # C4 of the paper


def _odd(pixels: int) -> int:
    if pixels % 2 == 0:
        raise ValueError("expected an odd number, so that the window has a middle")
    return pixels


Odd = Annotated[int, Field(ge=3), AfterValidator(_odd)]
Deviation = Annotated[float, Field(ge=0.1, allow_inf_nan=False)]


def structural_similarity(
    logits: Masks,
    target: Truth,
    *,
    bce_weight: Fraction,
    window: Odd,
    sigma: Deviation,
    beta: Fraction,
    class_weights: ClassWeights,
) -> Scalar:
    """Correlation-maximised structural similarity, bce_weight ce + (1 - bce_weight) sum(f e ce) / sum(f) of each class.

    e = |(y - mean_y + C) / (std_y + C) - (p - mean_p + C) / (std_p + C)| is the structural error around a pixel: means
    and deviations are over a Gaussian window, C is 0.01. f is 1 where e > beta max(e), else 0. Both weigh the
    cross-entropy ce and have no gradient; max and sums are over the batch. Edge pixels are repeated beyond the image.

    Args:
        logits: raw network output, (batch, cls, height, width).
        target: truth in {0, 1}, same shape.
        bce_weight: fraction of plain cross-entropy; 1 is bce.
        window: width of the Gaussian window in pixels, odd.
        sigma: its standard deviation in pixels.
        beta: fraction of the largest e below which a pixel is too easy to count.
        class_weights: as in mean_of_classes.

    Source: Zhao et al. 2019, arXiv:1910.08711; Jadon 2020, arXiv:2006.14822, section II-N.
    """
    logits, target = as_float32(logits, target)
    losses = cross_entropy(logits, target)
    errors = _structural_errors(logits, target, _gaussian(window, sigma))
    counted = errors > beta * errors.amax(PIXELS, keepdim=True)
    hard = (counted * errors * losses).sum(PIXELS) / counted.sum(PIXELS).clamp(min=1)
    return mean_of_classes(torch.lerp(hard, losses.mean(PIXELS), bce_weight), class_weights)


def cldice(
    logits: Masks, target: Truth, *, alpha: Fraction, iterations: Natural, smooth: Smooth, class_weights: ClassWeights
) -> Scalar:
    """(1 - alpha) dice + alpha soft clDice, which asks that centre lines lie inside the other mask.

    clDice is 1 - 2 P S / (P + S) with P = (sum(s_p y) + smooth) / (sum(s_p) + smooth), S = (sum(s_y p) + smooth) /
    (sum(s_y) + smooth), and s the soft skeletons of p and y, averaged over classes. MONAI's clDice sums over classes
    and takes the mean of slices, and adds 1e-4 below; for one slice of one class, and without the 1e-4, it is the same.

    Args:
        logits: raw network output, (batch, cls, height, width).
        target: truth in {0, 1}, same shape.
        alpha: fraction of clDice. The paper keeps it at 0.5 or less: clDice alone ignores how thick a vessel is.
        iterations: erosions; at least the largest radius of a vessel in pixels.
        smooth: as in dice, and for the skeletons.
        class_weights: as in mean_of_classes.

    Source: Shit et al. 2021, arXiv:2003.07311, algorithms 1 and 2.
    """
    logits, target = as_float32(logits, target)
    p = logits.sigmoid()
    precision = _fraction_inside(skeleton(p, iterations), target, smooth)
    sensitivity = _fraction_inside(skeleton(target, iterations), p, smooth)
    broken = 1 - 2 * precision * sensitivity / (precision + sensitivity)
    return mean_of_classes(torch.lerp(dice_per_class(p, target, smooth), broken, alpha), class_weights)


def _fraction_inside(lines: Masks32, masks: Masks32, smooth: float) -> PerClass:
    return ((lines * masks).sum(PIXELS) + smooth) / (lines.sum(PIXELS) + smooth)


@torch.no_grad()
def _structural_errors(logits: Masks32, target: Masks32, window: Float32[Tensor, "side side"]) -> Masks32:
    return (_standardised(target, window) - _standardised(logits.sigmoid(), window)).abs()


def _standardised(images: Masks32, window: Float32[Tensor, "side side"]) -> Masks32:
    """Return the difference of each pixel from the mean around it, in standard deviations."""
    side = len(window)
    padded = functional.pad(images, [side // 2] * 4, mode="replicate")
    height, width = images.shape[2:]
    shifted = [padded[:, :, y : y + height, x : x + width] for y in range(side) for x in range(side)]
    weights = window.flatten().tolist()
    # Relative to the middle, so that a flat patch is exactly 0: rounding would be divided by a deviation of 0.
    mean, variance = torch.zeros_like(images), torch.zeros_like(images)
    for weight, neighbour in zip(weights, shifted, strict=True):
        mean.add_(neighbour - images, alpha=weight)
    for weight, neighbour in zip(weights, shifted, strict=True):
        variance.add_((neighbour - images - mean).square_(), alpha=weight)
    return (STABILITY - mean) / (variance.sqrt() + STABILITY)


def _gaussian(window: int, sigma: float) -> Float32[Tensor, "side side"]:
    steps = torch.arange(window, dtype=torch.float32) - window // 2
    line = torch.exp(-steps.square() / (2 * sigma**2))
    return torch.outer(line, line) / line.sum().square()
