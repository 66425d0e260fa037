"""Test-time augmentation: mirrored views of a slice, each mirrored back exactly."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from lightning_liver.inference.label_maps import Network
from lightning_liver.types.tensors import Images

Axes = tuple[int, ...]  # of (batch, channel, height, width), counted from the end

FLIPS: tuple[Axes, ...] = ((), (-1,), (-2,), (-2, -1))  # as it is, left-right, up-down, both


def flips_for(wanted: bool | None) -> tuple[Axes, ...]:
    """Return the views that `inference.flips` asks for."""
    return FLIPS if wanted else ((),)


def flipped_views(network: Network, images: Images, *, flips: Sequence[Axes]) -> Float[Tensor, "view batch cls y x"]:
    """Return the float32 logits of mirrored images, mirrored back.

    Mirroring only moves pixels, so it is undone to the bit: a network that commutes with it gives equal views.
    """
    views = [network(images.flip(axes) if axes else images).float() for axes in flips]
    return torch.stack([view.flip(axes) if axes else view for view, axes in zip(views, flips, strict=True)])
