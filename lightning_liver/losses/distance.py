"""Distances to the boundary of a mask, in pixels."""

import cv2
import numpy as np
import torch
from torch import Tensor

from lightning_liver.errors import LiverError
from lightning_liver.losses.checks import Masks32, Truth
from lightning_liver.types.tensors import Masks


@torch.no_grad()
def signed_distance(masks: Truth) -> Masks32:
    """Return the distance of each pixel to the nearest of the other side, per class and slice: negative inside.

    Pixels along the boundary have 1 and -1. In an empty or full slice all pixels do, as if they lay along one: there is
    no distance, but the right side is known.

    Args:
        masks: (batch, cls, height, width), above 0.5 inside.
    """
    inside = (masks > 0.5).cpu().numpy()
    maps = [_signed(mask) for mask in inside.reshape(-1, *inside.shape[2:])]
    return torch.from_numpy(np.stack(maps)).view(masks.shape).to(masks.device)


def truth_map(target: Masks32, distance: Masks | None) -> Masks32:
    """Return the truth's signed distances, computed if None are given.

    Raises:
        LiverError: the given ones have another shape than the target.
    """
    if distance is None:
        return signed_distance(target)
    if distance.shape != target.shape:
        raise LiverError(
            f"the distance maps have shape {tuple(distance.shape)} but the target {tuple(target.shape)}: "
            "make them of this target by losses.distance.signed_distance"
        )
    return distance.detach().float()


def has_boundary(masks: Masks32) -> Tensor:
    """Return 1 for each class of each slice that is neither empty nor full, else 0: (batch, cls, 1, 1)."""
    return masks.amax((2, 3), keepdim=True) - masks.amin((2, 3), keepdim=True)


def _signed(mask: np.ndarray) -> np.ndarray:
    if mask.all() or not mask.any():
        return np.where(mask, -1, 1).astype(np.float32)
    return _to_other_side(~mask) - _to_other_side(mask)


def _to_other_side(mask: np.ndarray) -> np.ndarray:
    """Return OpenCV's exact transform: scipy's to a float32's last digit, in a third of the time."""
    return np.asarray(cv2.distanceTransform(mask.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE))
