"""From a cost of each class to the loss: the one place that knows how classes are weighed."""

import math
from collections.abc import Sequence

from jaxtyping import Float32
from torch import Tensor

from lightning_liver.errors import LiverError
from lightning_liver.types import Scalar

PIXELS = (0, 2, 3)  # every axis but the class

ClassWeights = Sequence[float] | None
PerClass = Float32[Tensor, " cls"]


def mean_of_classes(costs: PerClass, class_weights: ClassWeights) -> Scalar:
    """Weighted mean, sum(w cost) / sum(w): weights change what counts, not how large the loss is.

    Args:
        costs: one a class.
        class_weights: one a class, at least 0, not all 0; None is equal.

    Raises:
        LiverError: the weights are not such.
    """
    if class_weights is None:
        return costs.mean()
    weights = a_number_each("class_weights", class_weights, costs)
    if not any(class_weights):
        raise LiverError("loss.class_weights are all 0: nothing would be learnt; raise one of them")
    return (weights * costs).sum() / weights.sum()


def a_number_each(option: str, values: Sequence[float], like: PerClass) -> PerClass:
    """One number a class as a tensor.

    Raises:
        LiverError: there are more or fewer, or one is negative, infinite or no number.
    """
    listed = isinstance(values, Sequence) and not isinstance(values, str)
    if not listed or len(values) != len(like) or not all(_is_weight(value) for value in values):
        raise LiverError(
            f"loss.{option} must be a list of {len(like)} numbers of at least 0, one a class, but is {values!r}"
        )
    return like.new_tensor(list(values))


def _is_weight(value: object) -> bool:
    return isinstance(value, float | int) and 0 <= value < math.inf
