"""Types and precision of a loss's input."""

from jaxtyping import Float32, Shaped
from torch import Tensor

from lightning_liver.errors import LiverError

Truth = Shaped[Tensor, "batch cls height width"]  # {0, 1} as uint8, bool or float
Masks32 = Float32[Tensor, "batch cls height width"]


def as_float32(logits: Tensor, target: Tensor) -> tuple[Masks32, Masks32]:
    """Return logits and target in float32, whatever the trainer's precision: sums over 512x512 overflow in float16.

    Raises:
        LiverError: the shapes differ; broadcasting would give a number without meaning.
    """
    if logits.shape != target.shape:
        raise LiverError(
            f"the network's output has shape {tuple(logits.shape)} but the target {tuple(target.shape)}, both as "
            "(batch, class, height, width): set the model's number of output channels to the number of classes"
        )
    return logits.float(), target.float()
