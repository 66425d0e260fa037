"""Erosion and dilation of masks that may be soft: smallest and largest values of a neighbourhood."""

import torch
from torch.nn import functional

from lightning_liver.losses.checks import Masks32


def erode(masks: Masks32) -> Masks32:
    """Smallest of a pixel and its four neighbours; beyond the edge is nothing."""
    upright = -functional.max_pool2d(-masks, (3, 1), stride=1, padding=(1, 0))
    level = -functional.max_pool2d(-masks, (1, 3), stride=1, padding=(0, 1))
    return torch.minimum(upright, level)


def dilate(masks: Masks32) -> Masks32:
    """Largest of a pixel and its eight neighbours."""
    return functional.max_pool2d(masks, 3, stride=1, padding=1)


def skeleton(masks: Masks32, iterations: int) -> Masks32:
    """What opening takes away, gathered over erosions; it has gradients.

    Source: Shit et al. 2021, arXiv:2003.07311, algorithm 1.
    """
    found = torch.zeros_like(masks)
    for _ in range(iterations + 1):
        eroded = erode(masks)
        ridge = functional.relu(masks - dilate(eroded))
        found = found + functional.relu(ridge - found * ridge)
        masks = eroded
    return found
