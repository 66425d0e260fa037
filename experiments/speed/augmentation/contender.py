"""Set of five transforms as a library offers it, applied to slices in memory."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments.speed.rounds import Work

# In the order in which they are applied: each one always, except the flips, which are drawn per axis.
MOVE, NOISE, GAMMA, COARSE, FLIP = TRANSFORMS = ("rotation, scale", "noise", "gamma", "low resolution", "flip")

FLIPS = 0.5  # probability of each axis
ROTATION_DEGREES = 30.0
ROTATION = math.radians(ROTATION_DEGREES)
SCALE = 0.25  # factor from 0.75 to 1.25
NOISE_STD = 0.1  # the largest, as a fraction of the window
GAMMA_RANGE = 0.5  # powers from 1 / 1.5 to 1.5
COARSEST = 2.0  # largest factor of the pixel size


@dataclass(frozen=True)
class Contender:
    """Library with this set.

    Args:
        name: of the library.
        pipeline: returns a function that applies the named transforms to the slice, in the library's own type.
        arrays: converts that type to the image as fractions of the window, and the labels; both (y, x).
    """

    name: str
    pipeline: Callable[[Sequence[str]], Work]
    arrays: Callable[[Any], tuple[np.ndarray, np.ndarray]]
