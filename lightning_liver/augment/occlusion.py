"""Policies that hide a part of the slice."""

from typing import Any

import numpy as np
from pydantic import validate_call

from lightning_liver.augment.policy import Count, Finite, Policy, Probability, Size
from lightning_liver.augment.transforms import HuTransform, Image


@validate_call
def cutout(*, count: Count, size_mm: Size, fill_hu: Finite, probability: Probability) -> Policy:
    """Squares of one HU, see Cutout.

    Args:
        count: largest number of squares.
        size_mm: longest side; every square draws its own, from half of it.
        fill_hu: what is in them.
    """
    return Policy([Cutout(count=count, size_mm=size_mm, fill_hu=fill_hu, p=probability)])


class Cutout(HuTransform):
    """Covers one to `count` squares in all channels. Labels stay: what is hidden has to be inferred from around it.

    Source: DeVries and Taylor 2017, arXiv:1708.04552, for classification.
    """

    def __init__(self, *, count: int, size_mm: float, fill_hu: float, p: float) -> None:
        super().__init__(p=p)
        self.count, self.size_mm, self.fill_hu = count, size_mm, fill_hu

    def parameters(self, image: Image, spacing_mm: tuple[float, float]) -> dict[str, Any]:
        rng = self.random_generator
        count = rng.integers(1, self.count + 1)
        sides = rng.uniform(0.5, 1, count)[:, None] * self.size_mm / np.array(spacing_mm)
        centres = rng.uniform(0, 1, (count, 2)) * image.shape[:2]
        first = np.clip(np.rint(centres - sides / 2), 0, image.shape[:2]).astype(int)
        last = np.clip(np.rint(centres + sides / 2), 0, image.shape[:2]).astype(int)
        return {"boxes": np.stack([first, last], axis=1).tolist()}

    def apply(self, img: Image, boxes: list[list[list[int]]], **params: Any) -> Image:
        covered = img.copy()
        for (y0, x0), (y1, x1) in boxes:
            covered[y0:y1, x0:x1] = self.fill_hu
        return covered
