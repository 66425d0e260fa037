"""Occlusion of parts of the slice."""

from typing import Any

import numpy as np

from lightning_liver.augment.policy import Number, policy_of
from lightning_liver.augment.transforms import HuTransform, Image
from lightning_liver.types.options import Finite, Positive


class Cutout(HuTransform):
    """Squares of one HU in all channels. Labels stay: the network has to infer hidden structures from around them.

    Args:
        count: largest number of squares.
        size_mm: longest side; every square draws its own, from half of it.
        fill_hu: value of their pixels.

    Source: DeVries and Taylor 2017, arXiv:1708.04552, for classification.
    """

    count: Number
    size_mm: Positive
    fill_hu: Finite

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


cutout = policy_of(Cutout)
