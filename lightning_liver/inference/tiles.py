"""Tiles of slices that are too large for memory."""

import torch
from jaxtyping import Float
from torch import Tensor

from lightning_liver.inference.label_maps import Network, whole_slice_logits
from lightning_liver.types.tensors import Images, Masks


def tiled_logits(network: Network, images: Images, *, tile: int, overlap: float, multiple: int) -> Masks:
    """Return logits of slices, blended from overlapping square tiles.

    Args:
        tile: edge in pixels; slices that are no larger are not cut.
        overlap: fraction of a tile that its neighbour covers, too, at least 0 and below 1.
        multiple: see whole_slice_logits.
    """
    height, width = images.shape[-2:]
    if max(height, width) <= tile:
        return whole_slice_logits(network, images, multiple=multiple)
    total, weights = torch.zeros(()), torch.zeros(())
    for y in _starts(height, tile, overlap):
        for x in _starts(width, tile, overlap):
            part = (..., slice(y, y + tile), slice(x, x + tile))
            logits = whole_slice_logits(network, images[part], multiple=multiple).float()
            if not total.ndim:
                total = logits.new_zeros(*logits.shape[:2], height, width)
                weights = logits.new_zeros(height, width)
            weight = _fade(*logits.shape[-2:], like=logits)
            total[part] += logits * weight
            weights[part] += weight
    return total / weights


def _starts(length: int, tile: int, overlap: float) -> list[int]:
    """Return where tiles begin, so that the last one ends with the slice."""
    if length <= tile:
        return [0]
    stride = max(1, int(tile * (1 - overlap)))
    return [*range(0, length - tile, stride), length - tile]


def _fade(height: int, width: int, *, like: Tensor) -> Float[Tensor, "y x"]:
    """Return weights that fall towards the edges and are nowhere zero."""
    y, x = (1 - torch.linspace(-1, 1, n + 2, device=like.device)[1:-1].abs() for n in (height, width))
    return torch.outer(y, x)
