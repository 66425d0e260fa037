"""The axis vocabulary of tensors. cls is (liver including tumour, tumour)."""

from typing import Annotated

from jaxtyping import Float, UInt8
from pydantic import Field
from torch import Tensor

Metrics = dict[str, float | None]

Images = Float[Tensor, "batch channel height width"]  # in the network's intensity scale
Masks = Float[Tensor, "batch cls height width"]  # logits, probabilities or multi-hot truth
LabelMaps = UInt8[Tensor, "batch height width"]  # 0 background, 1 liver, 2 tumour
Scalar = Float[Tensor, ""]

STRUCTURES = ("liver", "tumour")  # the classes, in channel order

Count = Annotated[int, Field(ge=1)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
