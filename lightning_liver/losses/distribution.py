"""Cross-entropy losses, means over batch, class and pixel; the survey calls them distribution-based."""

from collections.abc import Sequence

import torch
from torch.nn import functional

from lightning_liver.losses.checks import Masks32, Truth, as_float32
from lightning_liver.losses.classes import PIXELS, ClassWeights, mean_of_classes, per_class
from lightning_liver.losses.distance import has_boundary, truth_map
from lightning_liver.types.options import Fraction, NonNegative
from lightning_liver.types.tensors import Masks, Scalar


def bce(logits: Masks, target: Truth, *, class_weights: ClassWeights) -> Scalar:
    """Binary cross-entropy, the mean of -(y log p + (1 - y) log(1 - p)).

    Args:
        logits: raw network output, (batch, cls, height, width).
        target: truth in {0, 1}, same shape.
        class_weights: as in mean_of_classes.

    Source: Good 1952, doi:10.1111/j.2517-6161.1952.tb00104.x; Jadon 2020, arXiv:2006.14822, section II-A.
    """
    logits, target = as_float32(logits, target)
    return mean_of_classes(cross_entropy(logits, target).mean(PIXELS), class_weights)


def weighted_bce(
    logits: Masks, target: Truth, *, positive_weights: Sequence[NonNegative], class_weights: ClassWeights
) -> Scalar:
    """Cross-entropy with weighted positives, the mean of -(b y log p + (1 - y) log(1 - p)), b of the class.

    Args:
        logits: raw network output, (batch, cls, height, width).
        target: truth in {0, 1}, same shape.
        positive_weights: b of each class; above 1 favours recall, below 1 precision, all 1 is bce.
        class_weights: as in mean_of_classes.

    Raises:
        LiverError: there are more or fewer weights than classes.

    Source: Jadon 2020, arXiv:2006.14822, section II-B.
    """
    logits, target = as_float32(logits, target)
    weights = per_class("positive_weights", positive_weights, logits[0, :, 0, 0])
    losses = functional.binary_cross_entropy_with_logits(
        logits, target, pos_weight=weights[:, None, None], reduction="none"
    )
    return mean_of_classes(losses.mean(PIXELS), class_weights)


def balanced_bce(logits: Masks, target: Truth, *, class_weights: ClassWeights) -> Scalar:
    """Cross-entropy with equal weight of both sides, the mean of -(b y log p + (1 - b) (1 - y) log(1 - p)).

    b is the fraction of negatives of the class in the batch, so that positives and negatives weigh b (1 - b) each. A
    class that is empty or full in the whole batch therefore costs 0 and has no gradient.

    Args:
        logits: raw network output, (batch, cls, height, width).
        target: truth in {0, 1}, same shape.
        class_weights: as in mean_of_classes.

    Source: Xie and Tu 2015, arXiv:1504.06375, equation 2, there per image; Jadon 2020, arXiv:2006.14822, section II-C.
    """
    logits, target = as_float32(logits, target)
    positives = target.mean(PIXELS, keepdim=True)
    weights = torch.lerp(positives, 1 - positives, target)
    return mean_of_classes((weights * cross_entropy(logits, target)).mean(PIXELS), class_weights)


def focal(
    logits: Masks, target: Truth, *, gamma: NonNegative, alpha: Fraction, balanced: bool, class_weights: ClassWeights
) -> Scalar:
    """Focal loss, the mean of -a (1 - p_t)^gamma log(p_t), p_t the probability of the truth.

    It is linear in the target, so that the loss of a mixture of two targets is the mixture of their losses. The paper
    divides the sum by the number of anchors assigned to an object; a mean over all pixels is smaller for rarer classes.

    Args:
        logits: raw network output, (batch, cls, height, width).
        target: truth in {0, 1}, same shape.
        gamma: discount of easy pixels; 0 is weighted cross-entropy.
        alpha: a where the target is 1.
        balanced: a is 1 - alpha where the target is 0 (the paper's); else it is alpha there too, a plain factor, and
            gamma = 0, alpha = 1 is exactly bce.
        class_weights: as in mean_of_classes.

    Source: Lin et al. 2017, arXiv:1708.02002, equation 5.
    """
    logits, target = as_float32(logits, target)
    log_p, log_q = functional.logsigmoid(logits), functional.logsigmoid(-logits)
    # (1 - p)^gamma as exp(gamma log(1 - p)): pow has an infinite gradient at 0 for gamma below 1.
    if_one = alpha * torch.exp(gamma * log_q) * log_p
    if_zero = (1 - alpha if balanced else alpha) * torch.exp(gamma * log_p) * log_q
    return mean_of_classes(-torch.lerp(if_zero, if_one, target).mean(PIXELS), class_weights)


def distance_bce(logits: Masks, target: Truth, *, class_weights: ClassWeights, distance: Masks | None = None) -> Scalar:
    """Distance-map-penalised cross-entropy, the mean of -(1 + phi) (y log p + (1 - y) log(1 - p)).

    phi = (m - d) / (m - 1) is 1 along the truth's boundary and 0 where the distance d to the other side is the largest,
    m, of this side, class and slice. Where there is no boundary phi is 0 and the loss is bce.

    Args:
        logits: raw network output, (batch, cls, height, width).
        target: truth in {0, 1}, same shape.
        class_weights: as in mean_of_classes.
        distance: signed_distance(target), if known.

    Source: Caliva et al. 2019, arXiv:1908.03679; Jadon 2020, arXiv:2006.14822, section II-L, which leave the scale
    of phi open. It is as in Ma et al. 2021, doi:10.1016/j.media.2021.102035, where both sides are inverted and
    normalised.
    """
    logits, target = as_float32(logits, target)
    weights = 1 + has_boundary(target) * _nearness(truth_map(target, distance))
    return mean_of_classes((weights * cross_entropy(logits, target)).mean(PIXELS), class_weights)


def cross_entropy(logits: Masks32, target: Masks32) -> Masks32:
    """Return the binary cross-entropy of each pixel."""
    return functional.binary_cross_entropy_with_logits(logits, target, reduction="none")


def _nearness(distance: Masks32) -> Masks32:
    """Return 1 along the boundary, falling to 0 at the farthest pixel of each side."""
    outside = distance > 0
    farthest_out = distance.amax((2, 3), keepdim=True)
    farthest_in = -distance.amin((2, 3), keepdim=True)
    beyond = torch.where(outside, farthest_out, farthest_in) - 1  # 0 for a side of border pixels alone: all are near
    return 1 - (distance.abs() - 1) / beyond.clamp(min=torch.finfo(torch.float32).tiny)
