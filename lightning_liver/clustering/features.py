"""A feature vector of each image: what one part of a network says of it, averaged over the image."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lightning_liver.errors import LiverError
from lightning_liver.finetune.parts import parts, select
from lightning_liver.types import Images

Pooled = Float[Tensor, "batch feature"]


def find_part(network: nn.Module, pattern: str) -> str:
    """The last part whose name matches, such as the bottleneck for encoder.*

    Raises:
        LiverError: none does.
    """
    return select(parts(network), [pattern], option="part")[-1]


@torch.no_grad()
def pool_features(network: nn.Module, part: str, images: Images, apply: Callable[[Images], object]) -> Pooled:
    """Global average pooling of a part's output.

    Args:
        part: its whole name.
        apply: how the network is applied to images, such as with padding.

    Raises:
        LiverError: the part does not give one map for each channel, or nothing at all.
    """
    kept: list[object] = []
    hook = parts(network)[part].register_forward_hook(lambda module, inputs, output: kept.append(output))
    try:
        apply(images)
    finally:
        hook.remove()
    maps = kept[-1] if kept else None
    if not isinstance(maps, Tensor) or maps.ndim != 4:
        raise LiverError(f"part={part}: it gives no maps of features; take another part: {', '.join(parts(network))}")
    return maps.float().mean(dim=(2, 3))
