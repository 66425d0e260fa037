"""Losses that compare regions: per class over the batch, then the mean of classes."""

import math

from lightning_liver.losses.checks import Truth, as_float32, check_range
from lightning_liver.types import Masks, Scalar

PIXELS = (0, 2, 3)  # every axis but the class
SMALLEST_SMOOTH = 1e-6  # its square is far above float32's smallest number, so the gradients stay finite


def dice(logits: Masks, target: Truth, *, smooth: float) -> Scalar:
    """Soft Dice loss, 1 - (2 sum(y p) + smooth) / (sum(y^2) + sum(p^2) + smooth), averaged over classes.

    Args:
        logits: raw network output, (batch, cls, height, width).
        target: truth in {0, 1}, same shape.
        smooth: pixels added above and below; an empty class left empty costs 0.

    Raises:
        LiverError: smooth is not positive; an empty class would be 0 / 0.

    Source: Milletari et al. 2016, arXiv:1606.04797, section 3; smooth is not theirs.
    """
    check_range("smooth", smooth, SMALLEST_SMOOTH, math.inf)
    logits, target = as_float32(logits, target)
    p = logits.sigmoid()
    overlap = 2 * (p * target).sum(PIXELS) + smooth
    total = target.square().sum(PIXELS) + p.square().sum(PIXELS) + smooth
    return (1 - overlap / total).mean()
