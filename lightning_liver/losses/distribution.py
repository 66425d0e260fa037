"""Losses that compare distributions pixel by pixel: means over batch, class and pixel."""

import math

import torch
from torch.nn import functional

from lightning_liver.errors import LiverError
from lightning_liver.losses.checks import Truth, as_float32, check_range
from lightning_liver.types import Masks, Scalar


def bce(logits: Masks, target: Truth) -> Scalar:
    """Binary cross-entropy, the mean of -(y log p + (1 - y) log(1 - p)).

    Args:
        logits: raw network output, (batch, cls, height, width).
        target: truth in {0, 1}, same shape.

    Source: Good 1952, doi:10.1111/j.2517-6161.1952.tb00104.x; Jadon 2020, arXiv:2006.14822, section II.
    """
    logits, target = as_float32(logits, target)
    return functional.binary_cross_entropy_with_logits(logits, target)


def focal(logits: Masks, target: Truth, *, gamma: float, alpha: float, balanced: bool) -> Scalar:
    """Focal loss, the mean of -a (1 - p_t)^gamma log(p_t), p_t the probability of what is true.

    It is linear in the target, so that the loss of a mixture of two targets is the mixture of their losses.

    Args:
        logits: raw network output, (batch, cls, height, width).
        target: truth in {0, 1}, same shape.
        gamma: how far easy pixels are discounted; 0 is cross-entropy, weighted.
        alpha: a where the target is 1.
        balanced: a is 1 - alpha where the target is 0 (the paper's); else it is alpha there too, a plain factor, and
            gamma = 0, alpha = 1 is exactly bce.

    Raises:
        LiverError: gamma is negative, alpha is outside [0, 1], or balanced is neither true nor false.

    Source: Lin et al. 2017, arXiv:1708.02002, equation 5.
    """
    check_range("gamma", gamma, 0.0, math.inf)
    check_range("alpha", alpha, 0.0, 1.0)
    if not isinstance(balanced, bool):
        raise LiverError(f"loss.balanced must be true or false, but is {balanced!r}")
    logits, target = as_float32(logits, target)
    log_p, log_q = functional.logsigmoid(logits), functional.logsigmoid(-logits)
    # (1 - p)^gamma as exp(gamma log(1 - p)): pow has an infinite gradient at 0 for gamma below 1.
    if_one = alpha * torch.exp(gamma * log_q) * log_p
    if_zero = (1 - alpha if balanced else alpha) * torch.exp(gamma * log_p) * log_q
    return -torch.lerp(if_zero, if_one, target).mean()
