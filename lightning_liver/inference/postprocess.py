"""What is put right in a predicted label map, seen as a whole volume.

Parts are connected through the faces of voxels. Work is done in the box that holds what was predicted.
"""

from collections.abc import Callable
from typing import Annotated

import numpy as np
from jaxtyping import Bool, Int, UInt8
from pydantic import Field
from pydantic.dataclasses import dataclass
from scipy import ndimage

from lightning_liver.metrics.components import box_of, widened

Labels = UInt8[np.ndarray, "z y x"]
Mask = Bool[np.ndarray, "z y x"]
Parts = Int[np.ndarray, "z y x"]  # numbers of connected parts from 1, and 0 elsewhere
Becomes = Int[np.ndarray, " parts_and_0"]
SpacingMm = tuple[float, float, float]
Step = Callable[[Labels, SpacingMm], Labels]


@dataclass(frozen=True)
class PostProcess:
    """Which steps are taken, in this order.

    Holes come first: a tumour within the liver that has a rim of background is no part of its own, and stays.

    Args:
        fill_holes: what is enclosed on all sides by tumour becomes tumour, what is enclosed by liver becomes liver.
        largest_liver: of parts of liver, tumours included, only the largest stays.
        tumour_in_liver: tumours that touch no liver are dropped.
        min_tumour_mm3: smaller tumours become liver where they touch it and background elsewhere; 0 keeps all.
    """

    fill_holes: bool = False
    largest_liver: bool = False
    tumour_in_liver: bool = False
    min_tumour_mm3: Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)] = 0.0  # else true is 1 mm3

    def steps(self) -> dict[str, Step]:
        """The steps by name, in order."""
        plain: tuple[Step, ...] = (fill_holes, largest_liver, tumour_in_liver)
        chosen = {step.__name__: step for step in plain if getattr(self, step.__name__)}
        if least := self.min_tumour_mm3:
            chosen[f"min_tumour_mm3={least:g}"] = lambda labels, spacing_mm: drop_small_tumours(
                labels, spacing_mm, least_mm3=least
            )
        return chosen

    def __call__(self, labels: Labels, spacing_mm: SpacingMm) -> Labels:
        """A label map with all steps taken; the one given stays as it is."""
        changed = labels.copy()
        if (steps := self.steps()) and (box := box_of(labels)) is not None:
            for step in steps.values():
                changed[box] = step(changed[box], spacing_mm)
        return changed


def fill_holes(labels: Labels, spacing_mm: SpacingMm) -> Labels:
    """With all that liver or tumour encloses on all sides; in a single slice a vessel often looks enclosed."""
    filled = labels.copy()
    if (box := box_of(labels == 2)) is not None:
        filled[box][_filled(labels[box] == 2)] = 2
    if (box := box_of(filled)) is not None:
        filled[box][_filled(filled[box] > 0) & (filled[box] == 0)] = 1
    return filled


def largest_liver(labels: Labels, spacing_mm: SpacingMm) -> Labels:
    """Only the largest part of liver, tumours included; of equally large ones the first along z, y, x."""
    kept = np.zeros_like(labels)
    if (box := box_of(labels)) is not None:
        kept[box] = np.where(_largest(labels[box] > 0), labels[box], 0)
    return kept


def tumour_in_liver(labels: Labels, spacing_mm: SpacingMm) -> Labels:
    """Without tumours that touch no liver."""

    def becomes(tumours: Parts, part: Labels) -> Becomes:
        return np.where(_touching(tumours, part == 1), 2, 0)

    return _by_tumour(labels, becomes)


def drop_small_tumours(labels: Labels, spacing_mm: SpacingMm, *, least_mm3: float) -> Labels:
    """Without tumours below a volume: they become liver where they touch it and background elsewhere."""

    def becomes(tumours: Parts, part: Labels) -> Becomes:
        small = np.bincount(tumours.ravel()) * np.prod(spacing_mm) < least_mm3
        return np.where(small, np.where(_touching(tumours, part == 1), 1, 0), 2)

    return _by_tumour(labels, becomes)


def _by_tumour(labels: Labels, becomes: Callable[[Parts, Labels], Becomes]) -> Labels:
    """A label map whose tumours get another label, each as a whole.

    Args:
        becomes: tumours by number, and the labels around them -> the label of each number.
    """
    changed = labels.copy()
    if (box := box_of(labels == 2)) is not None:
        part = changed[widened(box, labels.shape)]
        tumours, _ = ndimage.label(part == 2)
        label_of = becomes(tumours, part)
        for plane, numbers in zip(part, tumours, strict=True):  # all at once takes 16 bytes a voxel
            here = numbers > 0
            plane[here] = label_of[numbers[here]]
    return changed


def _largest(mask: Mask) -> Mask:
    parts, _ = ndimage.label(mask)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    return parts == sizes.argmax()


def _touching(parts: Parts, other: Mask) -> Bool[np.ndarray, " parts_and_0"]:
    """Which parts have a face on the other mask, by their numbers."""
    touched = np.zeros(int(parts.max(initial=0)) + 1, dtype=bool)
    for axis in range(3):
        along, beside = np.moveaxis(parts, axis, 0), np.moveaxis(other, axis, 0)
        for here, there in ((slice(1, None), slice(-1)), (slice(-1), slice(1, None))):
            touched[along[here][beside[there] & (along[here] > 0)]] = True
    return touched


def _filled(mask: Mask) -> Mask:
    """The mask and all that cannot be reached from outside of it."""
    around, _ = ndimage.label(np.pad(~mask, 1, constant_values=True))
    return (around != around[0, 0, 0])[1:-1, 1:-1, 1:-1]
