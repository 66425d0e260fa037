"""Losses of the distance between the boundaries of prediction and truth, in pixels of the training grid."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from lightning_liver.losses.checks import Masks32, Truth, as_float32
from lightning_liver.losses.classes import PIXELS, ClassWeights, mean_of_classes
from lightning_liver.losses.distance import has_boundary, signed_distance, truth_map
from lightning_liver.losses.distribution import cross_entropy
from lightning_liver.losses.morphology import erode
from lightning_liver.types.tensors import Masks, Scalar

Power = Annotated[float, Field(ge=0, le=8)]  # 724^8, the diagonal of 512x512, is far below float32's largest number


def boundary(logits: Masks, target: Truth, *, class_weights: ClassWeights, distance: Masks | None = None) -> Scalar:
    """Boundary loss, the mean of d (p - y), d the signed distance to the truth's boundary; 0 at its best.

    The paper trains with the mean of d p. The mean of d y, which no prediction changes, is the offset that makes a
    perfect prediction cost 0; with it the sum is half the paper's distance of two contours. The authors and MONAI use
    d + 1 inside, so that the last pixels inside cost nothing, and 0 in an empty slice; here both sides count alike, and
    a false positive in an empty slice costs 1.

    Args:
        logits: raw network output, (batch, cls, height, width).
        target: truth in {0, 1}, same shape.
        class_weights: as in mean_of_classes.
        distance: signed_distance(target), if known.

    Source: Kervadec et al. 2019, arXiv:1812.07032.
    """
    logits, target = as_float32(logits, target)
    losses = truth_map(target, distance) * (logits.sigmoid() - target)
    return mean_of_classes(losses.mean(PIXELS), class_weights)


def hausdorff(
    logits: Masks, target: Truth, *, alpha: Power, class_weights: ClassWeights, distance: Masks | None = None
) -> Scalar:
    """Hausdorff distance estimated by distance maps, the mean of (y - p)^2 (|d_y|^alpha + |d_p|^alpha).

    d_y and d_p are the signed distances of the truth and of the prediction, p > 0.5, without gradient. MONAI uses 0
    instead of 1 in a slice without boundary, so that an empty class that is predicted everywhere costs nothing there.

    Args:
        logits: raw network output, (batch, cls, height, width).
        target: truth in {0, 1}, same shape.
        alpha: exponent of the distance. The larger it is, the nearer the loss's alpha-th root is to the
            largest distance of a wrong pixel, the paper's estimate of the Hausdorff distance.
        class_weights: as in mean_of_classes.
        distance: signed_distance(target), if known. The prediction's is computed each time.

    Source: Karimi and Salcudean 2019, arXiv:1904.10030; alpha 2 is theirs.
    """
    logits, target = as_float32(logits, target)
    p = logits.sigmoid()
    prices = truth_map(target, distance).abs() ** alpha + signed_distance(p).abs() ** alpha
    return mean_of_classes(((target - p).square() * prices).mean(PIXELS), class_weights)


def shape_aware(logits: Masks, target: Truth, *, class_weights: ClassWeights, distance: Masks | None = None) -> Scalar:
    """Cross-entropy weighted in wrong pixels by the distance of the contours, the mean of (1 + E [wrong]) ce.

    E is the mean distance from the predicted contour (p > 0.5) to the true one, per class and slice, without gradient.
    Contours are the last pixels inside; from inside the truth, their distance is 1 less than that to the first pixel
    outside. Where either has no contour E is 1 pixel. The sums of the paper and of the survey are means here.

    Args:
        logits: raw network output, (batch, cls, height, width).
        target: truth in {0, 1}, same shape.
        class_weights: as in mean_of_classes.
        distance: signed_distance(target), if known.

    Source: Al Arif et al. 2018, doi:10.1007/978-3-319-74113-0_2; Jadon 2020, arXiv:2006.14822, section II-I.
    """
    logits, target = as_float32(logits, target)
    predicted = (logits > 0).float()
    apart = _contour_distance(predicted, target, truth_map(target, distance))
    weights = 1 + apart * (predicted != target)
    return mean_of_classes((weights * cross_entropy(logits, target)).mean(PIXELS), class_weights)


def _contour_distance(predicted: Masks32, target: Masks32, distance: Masks32) -> Tensor:
    """Return the mean distance of the predicted contour's pixels to the true contour, (batch, cls, 1, 1)."""
    contour = predicted - erode(predicted)
    to_contour = torch.where(distance > 0, distance, -distance - 1)  # the true contour is the last pixels inside
    mean = (contour * to_contour).sum((2, 3), keepdim=True) / contour.sum((2, 3), keepdim=True).clamp(min=1)
    both = has_boundary(predicted) * has_boundary(target)
    return torch.lerp(torch.ones_like(mean), mean, both)
