"""A feature vector of each image: the output of one part of a network, averaged over the image."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lightning_liver.errors import LiverError
from lightning_liver.finetune.parts import parts, select
from lightning_liver.types.tensors import Images

Pooled = Float[Tensor, "batch feature"]


def find_part(network: nn.Module, pattern: str) -> str:
    """Return the last part whose name matches, such as the bottleneck for encoder.*

    Raises:
        LiverError: no name matches.
    """
    return select(parts(network), [pattern], option="part")[-1]


@torch.no_grad()
def pool_features(network: nn.Module, part: str, images: Images, apply: Callable[[Images], object]) -> Pooled:
    """Pool a part's output by its global average.

    Args:
        part: its full name.
        apply: applies the network to images, for example with padding.

    Raises:
        LiverError: the output is not one map for each channel.
    """
    outputs: list[object] = []
    hook = parts(network)[part].register_forward_hook(lambda module, inputs, output: outputs.append(output))
    try:
        apply(images)
    finally:
        hook.remove()
    maps = outputs[-1] if outputs else None
    if not isinstance(maps, Tensor) or maps.ndim != 4:
        raise LiverError(f"part={part}: its output is no feature map; choose one of {', '.join(parts(network))}")
    return maps.float().mean(dim=(2, 3))
