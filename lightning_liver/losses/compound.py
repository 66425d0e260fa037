"""Sums of losses of different families."""

import math

from lightning_liver.errors import LiverError
from lightning_liver.losses.checks import Truth, as_float32, check_range
from lightning_liver.losses.distribution import bce
from lightning_liver.losses.region import dice
from lightning_liver.types import Masks, Scalar


def dice_bce(logits: Masks, target: Truth, *, dice_weight: float, bce_weight: float, smooth: float) -> Scalar:
    """Weighted sum, dice_weight * dice + bce_weight * bce.

    Args:
        logits: raw network output, (batch, cls, height, width).
        target: truth in {0, 1}, same shape.
        dice_weight, bce_weight: at least 0, not both 0; not normalised.
        smooth: as in dice.

    Raises:
        LiverError: an option is out of range.

    Source: Isensee et al. 2021, doi:10.1038/s41592-020-01008-z (nnU-Net), there with both weights 1.
    """
    check_range("dice_weight", dice_weight, 0.0, math.inf)
    check_range("bce_weight", bce_weight, 0.0, math.inf)
    if dice_weight == bce_weight == 0:
        raise LiverError("loss.dice_weight and loss.bce_weight are both 0: nothing would be learnt; raise one of them")
    logits, target = as_float32(logits, target)
    return dice_weight * dice(logits, target, smooth=smooth) + bce_weight * bce(logits, target)
