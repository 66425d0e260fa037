"""Class weights: the one place that turns the loss of each class into a scalar."""

from collections.abc import Sequence
from typing import Annotated

from jaxtyping import Float32
from pydantic import AfterValidator
from torch import Tensor

from lightning_liver.errors import LiverError
from lightning_liver.types.options import NonNegative
from lightning_liver.types.tensors import Scalar

PIXELS = (0, 2, 3)  # every axis but the class


def _some_above_zero(weights: Sequence[float]) -> Sequence[float]:
    if not any(weights):
        raise ValueError("expected a weight above 0; with none nothing would be learnt")
    return weights


ClassWeights = Annotated[Sequence[NonNegative], AfterValidator(_some_above_zero)] | None
PerClass = Float32[Tensor, " cls"]


def mean_of_classes(losses: PerClass, class_weights: ClassWeights) -> Scalar:
    """Return the weighted mean, sum(w loss) / sum(w): weights change what counts, not how large the loss is.

    Args:
        losses: one a class.
        class_weights: one a class; None weighs them alike.

    Raises:
        LiverError: there are more or fewer weights than classes.
    """
    if class_weights is None:
        return losses.mean()
    weights = per_class("class_weights", class_weights, losses)
    return (weights * losses).sum() / weights.sum()


def per_class(option: str, values: Sequence[float], like: PerClass) -> PerClass:
    """Return one number a class as a tensor.

    Raises:
        LiverError: there are more or fewer.
    """
    if len(values) != len(like):
        raise LiverError(f"loss.{option}={list(values)}: expected {len(like)} numbers; give one a class")
    return like.new_tensor(list(values))
