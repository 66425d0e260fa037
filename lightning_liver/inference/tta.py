"""Test-time augmentation: the mean over mirrored views of a slice, each mirrored back exactly."""

from collections.abc import Sequence

import torch

from lightning_liver.inference.volumes import Network
from lightning_liver.types import Images, Masks

Axes = tuple[int, ...]  # of (batch, channel, height, width), counted from the end

FLIPS: tuple[Axes, ...] = ((), (-1,), (-2,), (-2, -1))  # as it is, left-right, up-down, both


def mean_over_flips(network: Network, images: Images, *, flips: Sequence[Axes]) -> Masks:
    """The mean in float32 of the logits of mirrored images, which are mirrored back.

    Mirroring moves pixels and computes nothing, so it is undone to the bit; a network that mirrored input does not
    change the answer of gives the same logits with it as without.
    """
    views = [network(images.flip(axes) if axes else images).float() for axes in flips]
    total = torch.stack([view.flip(axes) if axes else view for view, axes in zip(views, flips, strict=True)])
    return total.mean(dim=0)
