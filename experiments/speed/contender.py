"""One set of five transforms, as a library offers it, on slices that lie in memory."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments.speed.rounds import Work

# The set, in the order in which it is applied; every one always, but for the flips, which are drawn for each axis.
MOVE, NOISE, GAMMA, COARSE, FLIP = TRANSFORMS = ("rotation, scale", "noise", "gamma", "low resolution", "flip")

FLIPS = 0.5  # probability of each axis
ROTATION_DEGREES = 30.0
ROTATION = math.radians(ROTATION_DEGREES)
SCALE = 0.25  # sizes are multiplied by 0.75 to 1.25
NOISE_STD = 0.1  # the largest, as a share of the window
GAMMA_SHARE = 0.5  # powers from 1 / 1.5 to 1.5
COARSEST = 2.0  # pixels are up to so many times as large


@dataclass(frozen=True)
class Contender:
    """A library with this set.

    Args:
        name: of the library.
        pipeline: from names of transforms to what applies them to the slice, in the library's own type.
        arrays: from that type to the image as shares of the window, and the labels; both (y, x).
    """

    name: str
    pipeline: Callable[[Sequence[str]], Work]
    arrays: Callable[[Any], tuple[np.ndarray, np.ndarray]]
