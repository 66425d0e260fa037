"""Overlap losses: per class over the batch, then the mean of classes."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from lightning_liver.losses.checks import Masks32, Truth, as_float32
from lightning_liver.losses.classes import PIXELS, ClassWeights, PerClass, mean_of_classes
from lightning_liver.types.options import Fraction, NonNegative
from lightning_liver.types.tensors import Masks, Scalar

# The least value's square is far above float32's smallest number, so the gradients stay finite.
Smooth = Annotated[float, Field(ge=1e-6, allow_inf_nan=False)]
Root = Annotated[float, Field(ge=0.1, allow_inf_nan=False)]
FLOOR = 1e-7  # the smallest difference from 1 that float32 resolves


def dice(logits: Masks, target: Truth, *, smooth: Smooth, class_weights: ClassWeights) -> Scalar:
    """Soft Dice loss, 1 - (2 sum(y p) + smooth) / (sum(y^2) + sum(p^2) + smooth), averaged over classes.

    Args:
        logits: raw network output, (batch, cls, height, width).
        target: truth in {0, 1}, same shape.
        smooth: pixels added above and below; an empty class left empty costs 0.
        class_weights: as in mean_of_classes.

    Source: Milletari et al. 2016, arXiv:1606.04797, section 3; smooth is not theirs.
    """
    logits, target = as_float32(logits, target)
    return mean_of_classes(dice_per_class(logits.sigmoid(), target, smooth), class_weights)


def log_cosh_dice(logits: Masks, target: Truth, *, smooth: Smooth, class_weights: ClassWeights) -> Scalar:
    """log(cosh(Dice loss)) of each class, averaged over classes: a square near 0, a line far from it.

    Args:
        logits: raw network output, (batch, cls, height, width).
        target: truth in {0, 1}, same shape.
        smooth: as in dice.
        class_weights: as in mean_of_classes.

    Source: Jadon 2020, arXiv:2006.14822, section II-O, there of Dice without squares.
    """
    logits, target = as_float32(logits, target)
    return mean_of_classes(dice_per_class(logits.sigmoid(), target, smooth).cosh().log(), class_weights)


def tversky(
    logits: Masks, target: Truth, *, alpha: NonNegative, beta: NonNegative, smooth: Smooth, class_weights: ClassWeights
) -> Scalar:
    """Tversky loss, 1 - (TP + smooth) / (TP + alpha FP + beta FN + smooth), averaged over classes.

    TP = sum(y p), FP = sum((1 - y) p), FN = sum(y (1 - p)). With alpha = beta = 0.5 it is the Dice loss without
    squares, 1 - (2 TP + 2 smooth) / (sum(y) + sum(p) + 2 smooth), and where every p is 0 or 1 that is dice at twice the
    smooth.

    Args:
        logits: raw network output, (batch, cls, height, width).
        target: truth in {0, 1}, same shape.
        alpha, beta: price of a false positive, of a false negative.
        smooth: pixels added above and below; an empty class left empty costs 0.
        class_weights: as in mean_of_classes.

    Source: Salehi et al. 2017, arXiv:1706.05721; smooth is not theirs.
    """
    logits, target = as_float32(logits, target)
    return mean_of_classes(tversky_per_class(logits.sigmoid(), target, alpha, beta, smooth), class_weights)


def focal_tversky(
    logits: Masks,
    target: Truth,
    *,
    gamma: Root,
    alpha: NonNegative,
    beta: NonNegative,
    smooth: Smooth,
    class_weights: ClassWeights,
) -> Scalar:
    """Focal Tversky loss, (Tversky loss)^(1 / gamma) of each class, averaged over classes; raised as in `raised`.

    Args:
        logits: raw network output, (batch, cls, height, width).
        target: truth in {0, 1}, same shape.
        gamma: above 1 nearly right classes count more, below 1 wrong ones; 1 is tversky.
        alpha, beta, smooth: as in tversky.
        class_weights: as in mean_of_classes.

    Source: Abraham and Khan 2018, arXiv:1810.07842, there with alpha for false negatives. Jadon 2020 writes
    the exponent gamma; it is 1 / gamma here, so that gamma in [1, 3] means what it does in the paper.
    """
    logits, target = as_float32(logits, target)
    losses = tversky_per_class(logits.sigmoid(), target, alpha, beta, smooth)
    return mean_of_classes(raised(losses, 1 / gamma), class_weights)


def sensitivity_specificity(
    logits: Masks, target: Truth, *, ratio: Fraction, smooth: Smooth, class_weights: ClassWeights
) -> Scalar:
    """Squared errors of foreground and background, each over its own pixels, averaged over classes.

    ratio sum(y (y - p)^2) / (sum(y) + smooth) + (1 - ratio) sum((1 - y) (y - p)^2) / (sum(1 - y) + smooth)

    Args:
        logits: raw network output, (batch, cls, height, width).
        target: truth in {0, 1}, same shape.
        ratio: fraction of the foreground's error (sensitivity); the rest is the background's (specificity).
        smooth: pixels added below, so that an empty or full class is no 0 / 0.
        class_weights: as in mean_of_classes.

    Source: Brosch et al. 2015, doi:10.1007/978-3-319-24574-4_1. Jadon 2020, arXiv:2006.14822, section II-H, has this
    name, but the weighted sum of sensitivity and specificity themselves, for which larger is better.
    """
    logits, target = as_float32(logits, target)
    errors = (target - logits.sigmoid()).square()
    missed = (target * errors).sum(PIXELS) / (target.sum(PIXELS) + smooth)
    invented = ((1 - target) * errors).sum(PIXELS) / ((1 - target).sum(PIXELS) + smooth)
    return mean_of_classes(torch.lerp(invented, missed, ratio), class_weights)


def generalised_dice(logits: Masks, target: Truth, *, class_weights: ClassWeights) -> Scalar:
    """Generalised Dice loss of each class and its background, averaged over classes.

    1 - 2 sum_l(w_l sum(y_l p_l)) / sum_l(w_l sum(y_l + p_l)), l over foreground and background of the class, where
    w_l = 1 / sum(y_l)^2 makes both count alike whatever their size. A side without a pixel has the other's weight.

    The paper's for two labels. MONAI's, of (1 - p, p) as two channels, is the same; over our two channels it would be
    another loss, since liver and tumour overlap and neither is the other's background.

    Args:
        logits: raw network output, (batch, cls, height, width).
        target: truth in {0, 1}, same shape.
        class_weights: as in mean_of_classes.

    Source: Sudre et al. 2017, arXiv:1707.03237.
    """
    logits, target = as_float32(logits, target)
    p, pixels = logits.sigmoid(), target[:, 0].numel()
    there, absent = target.sum(PIXELS), (1 - target).sum(PIXELS)
    weight_there = (pixels / torch.where(there > 0, there, absent)).square()
    weight_absent = (pixels / torch.where(absent > 0, absent, there)).square()
    # The errors of both sides are the same pixels; wrong / all instead of 1 - right / all keeps small losses exact.
    errors = (p - target).abs().sum(PIXELS)
    wrong = (weight_there + weight_absent) * errors
    right = 2 * (weight_there * (target * p).sum(PIXELS) + weight_absent * ((1 - target) * (1 - p)).sum(PIXELS))
    return mean_of_classes(wrong / (wrong + right), class_weights)


def lovasz_hinge(logits: Masks, target: Truth, *, class_weights: ClassWeights) -> Scalar:
    """Lovasz hinge: the Jaccard loss, extended from sets of wrong pixels to hinge errors, averaged over classes.

    sum_i(max(0, e_i) (J_i - J_(i-1))) over pixels by falling error e = 1 - (2 y - 1) logit, where J_i is the Jaccard
    loss if the first i pixels are wrong and the others right. Logits beyond a margin of 1 cost nothing.

    Args:
        logits: raw network output, (batch, cls, height, width).
        target: truth in {0, 1}, same shape.
        class_weights: as in mean_of_classes.

    Source: Berman et al. 2018, arXiv:1705.08790, algorithm 1.
    """
    logits, target = as_float32(logits, target)
    by_class = [each.transpose(0, 1).flatten(1) for each in (logits, target)]
    errors, order = (1 - (2 * by_class[1] - 1) * by_class[0]).sort(dim=1, descending=True)
    truth = by_class[1].gather(1, order)
    total = truth.sum(1, keepdim=True)
    jaccard = 1 - (total - truth.cumsum(1)) / (total + (1 - truth).cumsum(1))
    steps = jaccard.diff(dim=1, prepend=jaccard.new_zeros(len(jaccard), 1))
    return mean_of_classes((functional.relu(errors) * steps).sum(1), class_weights)


def dice_per_class(p: Masks32, target: Masks32, smooth: float) -> PerClass:
    """Return the Dice loss of each class as wrong / all: 1 - right / all would lose small losses to rounding."""
    total = target.square().sum(PIXELS) + p.square().sum(PIXELS) + smooth
    return (target - p).square().sum(PIXELS) / total


def tversky_per_class(p: Masks32, target: Masks32, alpha: NonNegative, beta: NonNegative, smooth: float) -> PerClass:
    """Return the Tversky loss of each class as wrong / all, for the same reason."""
    wrong = alpha * ((1 - target) * p).sum(PIXELS) + beta * (target * (1 - p)).sum(PIXELS)
    return wrong / ((target * p).sum(PIXELS) + wrong + smooth)


def raised(losses: Tensor, exponent: float) -> Tensor:
    """Return (loss + 1e-7)^exponent - 1e-7^exponent: 0 stays 0, and its slope is finite also for exponents below 1."""
    return (losses + FLOOR).pow(exponent) - FLOOR**exponent
