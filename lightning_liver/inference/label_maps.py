"""Logits of whole slices, on another grid, and as label maps."""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import interpolate, pad

from lightning_liver.types.tensors import Images, LabelMaps, Masks

Network = Callable[[Images], Masks]
GridMasks = Float[Tensor, "batch cls grid_height grid_width"]


def whole_slice_logits(network: Network, images: Images, *, multiple: int) -> Masks:
    """Return logits of slices of any size: padded at the bottom and right to what the network can halve, then cut back.

    Args:
        multiple: height and width that the network accepts are multiples of this.
    """
    height, width = images.shape[-2:]
    gaps = (-width % multiple, -height % multiple)
    padded = pad(images, (0, gaps[0], 0, gaps[1]), mode="replicate") if any(gaps) else images
    return network(padded)[..., :height, :width]


def to_grid(logits: Masks, grid: tuple[int, int]) -> GridMasks:
    """Return logits on another grid (height, width) over the same field of view, interpolated linearly in float32."""
    if logits.shape[-2:] == torch.Size(grid):
        return logits.float()
    return interpolate(logits.float(), size=grid, mode="bilinear", align_corners=False)


def label_maps(logits: Masks, thresholds: tuple[float, float] = (0.5, 0.5)) -> LabelMaps:
    """Label as 0, 1, 2 what exceeds its threshold; a tumour counts wherever it is found, inside the liver or not.

    Args:
        thresholds: of liver and of tumour.
    """
    liver, tumour = (logits[:, c] > math.log(t / (1 - t)) for c, t in enumerate(thresholds))
    return torch.where(tumour, 2, liver.to(torch.uint8)).to(torch.uint8)


def multi_hot(labels: LabelMaps) -> Masks:
    """Return the target of the losses: channel 0 liver including tumour, channel 1 tumour."""
    return torch.stack((labels >= 1, labels == 2), dim=1).float()
