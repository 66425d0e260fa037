"""Kinds of wrong voxels, with their names and colours in pictures and in the viewer."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Shaped, UInt8


class Mistake(NamedTuple):
    """A kind of wrong voxel."""

    structure: str
    name: str
    colour: str

    @property
    def label(self) -> str:
        return f"{self.structure}, {self.name}"


# Okabe and Ito: blue for the liver, yellow and red for the tumour; what is missing is darker than what is too much
MISTAKES = (
    Mistake("liver", "false positive", "#56B4E9"),
    Mistake("liver", "false negative", "#0072B2"),
    Mistake("tumour", "false positive", "#F0E442"),
    Mistake("tumour", "false negative", "#D55E00"),
)


def mistakes(truth: UInt8[np.ndarray, "*axes"], prediction: UInt8[np.ndarray, "*axes"]) -> UInt8[np.ndarray, "*axes"]:
    """Return the kind of each wrong pixel, its place in MISTAKES from 1, and 0 where the label is right.

    A pixel that is wrong for both structures counts for the tumour.

    Args:
        truth, prediction: label maps 0, 1 liver, 2 tumour.
    """
    kinds = np.zeros(truth.shape, np.uint8)
    for first, lowest in ((1, 1), (3, 2)):
        true, predicted = truth >= lowest, prediction >= lowest
        kinds[predicted & ~true] = first
        kinds[true & ~predicted] = first + 1
    return kinds


def count_mistakes(truth: Shaped[np.ndarray, "z y x"], prediction: Shaped[np.ndarray, "z y x"]) -> list[int]:
    """Return the number of wrong pixels in each slice."""
    return [int(np.count_nonzero(true != predicted)) for true, predicted in zip(truth, prediction, strict=True)]
