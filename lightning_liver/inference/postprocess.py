"""What is put right in a predicted label map, seen as a whole volume.

Parts are connected through the faces of voxels. All work is done in the box that holds what was predicted.
"""

from collections.abc import Callable
from typing import Annotated

import numpy as np
from jaxtyping import Bool, UInt8
from pydantic import Field
from pydantic.dataclasses import dataclass
from scipy import ndimage

Labels = UInt8[np.ndarray, "z y x"]
Mask = Bool[np.ndarray, "z y x"]
SpacingMm = tuple[float, float, float]
Step = Callable[[Labels, SpacingMm], Labels]


@dataclass(frozen=True)
class PostProcess:
    """Which steps are taken, in this order.

    Args:
        largest_liver: of parts of liver, tumours included, only the largest stays.
        tumour_in_liver: tumours that touch no liver are dropped.
        fill_holes: what is enclosed on all sides by tumour becomes tumour, what is enclosed by liver becomes liver.
        min_tumour_mm3: smaller tumours become liver where they touch it and background elsewhere; None keeps all.
    """

    largest_liver: bool = False
    tumour_in_liver: bool = False
    fill_holes: bool = False
    min_tumour_mm3: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None

    def steps(self) -> dict[str, Step]:
        """The steps by name, in order."""
        chosen: dict[str, Step] = {}
        for name, step in (("largest_liver", largest_liver), ("tumour_in_liver", tumour_in_liver)):
            if getattr(self, name):
                chosen[name] = step
        if self.fill_holes:
            chosen["fill_holes"] = fill_holes
        if (least := self.min_tumour_mm3) is not None:
            chosen[f"min_tumour_mm3={least:g}"] = lambda labels, spacing_mm: drop_small_tumours(
                labels, spacing_mm, least_mm3=least
            )
        return chosen

    def __call__(self, labels: Labels, spacing_mm: SpacingMm) -> Labels:
        """A label map with all steps taken; the one given stays as it is."""
        for step in self.steps().values():
            labels = step(labels, spacing_mm)
        return labels


def largest_liver(labels: Labels, spacing_mm: SpacingMm) -> Labels:
    """Only the largest part of liver, tumours included; of equally large ones the first along z, y, x."""
    return _in_box(labels, lambda part: np.where(_largest(part > 0), part, 0))


def tumour_in_liver(labels: Labels, spacing_mm: SpacingMm) -> Labels:
    """Without tumours that touch no liver."""

    def kept(part: Labels) -> Labels:
        tumours, _ = ndimage.label(part == 2)
        return np.where(np.isin(tumours, _touching(tumours, part == 1), invert=True) & (tumours > 0), 0, part)

    return _in_box(labels, kept)


def fill_holes(labels: Labels, spacing_mm: SpacingMm) -> Labels:
    """With all that liver or tumour encloses on all sides; in a single slice a vessel often looks enclosed."""

    def filled(part: Labels) -> Labels:
        return np.where(_filled(part == 2), 2, np.where(_filled(part > 0), np.maximum(part, 1), 0))

    return _in_box(labels, filled)


def drop_small_tumours(labels: Labels, spacing_mm: SpacingMm, *, least_mm3: float) -> Labels:
    """Without tumours below a volume: they become liver where they touch it and background elsewhere."""

    def kept(part: Labels) -> Labels:
        tumours, _ = ndimage.label(part == 2)
        small = np.flatnonzero(np.bincount(tumours.ravel()) * np.prod(spacing_mm) < least_mm3)
        small = small[small > 0]
        within = np.intersect1d(small, _touching(tumours, part == 1))
        return np.where(np.isin(tumours, within), 1, np.where(np.isin(tumours, small), 0, part))

    return _in_box(labels, kept)


def _in_box(labels: Labels, step: Callable[[Labels], np.ndarray]) -> Labels:
    """The step in the box that holds all that is not background."""
    changed = labels.copy()
    if boxes := ndimage.find_objects((labels > 0).astype(np.uint8)):
        changed[boxes[0]] = step(labels[boxes[0]])
    return changed


def _largest(mask: Mask) -> Mask:
    parts, _ = ndimage.label(mask)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    return parts == sizes.argmax()


def _touching(parts: np.ndarray, other: Mask) -> np.ndarray:
    """Numbers of the parts with a face on the other mask."""
    near = ndimage.binary_dilation(other)
    return np.setdiff1d(np.unique(parts[near]), [0])


def _filled(mask: Mask) -> Mask:
    """The mask and all that cannot be reached from outside of it."""
    around, _ = ndimage.label(np.pad(~mask, 1, constant_values=True))
    return (around != around[0, 0, 0])[1:-1, 1:-1, 1:-1]
