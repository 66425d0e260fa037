"""Names of the axes of tensors; the axis cls is (liver including tumour, tumour)."""

from collections.abc import Mapping

from jaxtyping import Float, UInt8
from torch import Tensor

Images = Float[Tensor, "batch channel height width"]  # in the network's intensity scale
Masks = Float[Tensor, "batch cls height width"]  # logits, probabilities or multi-hot truth
LabelMaps = UInt8[Tensor, "batch height width"]  # 0 background, 1 liver, 2 tumour
Scalar = Float[Tensor, ""]
Batch = Mapping[str, Tensor]  # what a data loader yields, by name
