"""Axis vocabulary of tensors, and option types. cls is (liver including tumour, tumour)."""

from typing import Annotated

from jaxtyping import Float, UInt8
from pydantic import AfterValidator, Field
from torch import Tensor

Metrics = dict[str, float | None]

Images = Float[Tensor, "batch channel height width"]  # in the network's intensity scale
Masks = Float[Tensor, "batch cls height width"]  # logits, probabilities or multi-hot truth
LabelMaps = UInt8[Tensor, "batch height width"]  # 0 background, 1 liver, 2 tumour
Scalar = Float[Tensor, ""]

STRUCTURES = ("liver", "tumour")  # the classes, in channel order


def _increasing(window_hu: tuple[float, float]) -> tuple[float, float]:
    if not window_hu[0] < window_hu[1]:
        raise ValueError("expected a first value below the second, as in [-160, 240]")
    return window_hu


# Option types, checked by pydantic where a config is built. None takes infinity or NaN.
Natural = Annotated[int, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1)]
BelowOne = Annotated[float, Field(ge=0, lt=1)]
Window = Annotated[tuple[Finite, Finite], AfterValidator(_increasing)]  # lower and upper end
