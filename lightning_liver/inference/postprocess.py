"""Post-processing of the label map of a whole scan.

Parts are connected through the faces of voxels. Only the bounding box of the labels is processed.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, UInt8
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from lightning_liver.metrics.components import ZYX, Components, box_of, components, meeting, runs_in
from lightning_liver.types.options import CubicMillimetres

Labels = UInt8[np.ndarray, "z y x"]
Mask = Bool[np.ndarray, "z y x"]
SpacingMm = tuple[float, float, float]
Step = Callable[[Labels, SpacingMm], Labels]

SHIFTS = (
    (0, 0, -1, 1),
    (1, 0, 0, 0),
    (-1, 0, 0, 0),
    (0, 1, 0, 0),
    (0, -1, 0, 0),
)  # of a run of voxels to its neighbours


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class PostProcess:
    """Steps of post-processing, in this order.

    Holes come first: a tumour inside the liver with a rim of background thereby joins the liver, and stays.

    Args:
        fill_holes: what is enclosed on all sides by tumour becomes tumour, what is enclosed by liver becomes liver.
        largest_liver: of parts of liver, tumours included, only the largest stays.
        tumour_in_liver: tumours that touch no liver are dropped.
        min_tumour_mm3: smaller tumours become liver where they touch it and background elsewhere; 0 keeps all.
    """

    fill_holes: bool = False
    largest_liver: bool = False
    tumour_in_liver: bool = False
    min_tumour_mm3: CubicMillimetres = 0.0

    def steps(self) -> dict[str, Step]:
        """Return the chosen steps by name, in order."""
        plain: tuple[Step, ...] = (fill_holes, largest_liver, tumour_in_liver)
        chosen = {step.__name__: step for step in plain if getattr(self, step.__name__)}
        if least := self.min_tumour_mm3:
            chosen[f"min_tumour_mm3={least:g}"] = lambda labels, spacing_mm: drop_small_tumours(
                labels, spacing_mm, least_mm3=least
            )
        return chosen

    def __call__(self, labels: Labels, spacing_mm: SpacingMm) -> Labels:
        """Return the label map after all steps; the input is not changed."""
        changed = labels.copy()
        if (steps := self.steps()) and (box := box_of(labels)) is not None:
            for step in steps.values():
                changed[box] = step(changed[box], spacing_mm)
        return changed


def fill_holes(labels: Labels, spacing_mm: SpacingMm) -> Labels:
    """Fill background that liver or tumour encloses in 3D; in a single slice a vessel often looks enclosed."""
    filled = labels.copy()
    if (box := box_of(labels == 2)) is not None:
        filled[box][_filled(labels[box] == 2)] = 2
    if (box := box_of(filled)) is not None:
        filled[box][_filled(filled[box] > 0) & (filled[box] == 0)] = 1
    return filled


def largest_liver(labels: Labels, spacing_mm: SpacingMm) -> Labels:
    """Keep the largest part of liver, tumours included; of equally large ones the first along z, y, x."""
    kept = labels.copy()
    parts = components(labels > 0, ZYX)
    if len(parts.voxels):
        parts.paint(np.arange(len(parts.voxels)) != parts.voxels.argmax(), kept, 0)
    return kept


def tumour_in_liver(labels: Labels, spacing_mm: SpacingMm) -> Labels:
    """Drop tumours that touch no liver."""
    changed = labels.copy()
    tumours = components(labels == 2, ZYX)
    touched = _touching(tumours, labels == 1)
    tumours.paint(~touched, changed, 0)
    return changed


def drop_small_tumours(labels: Labels, spacing_mm: SpacingMm, *, least_mm3: float) -> Labels:
    """Drop tumours below a volume: they become liver where they touch it and background elsewhere."""
    changed = labels.copy()
    tumours = components(labels == 2, ZYX)
    small = tumours.voxels * np.prod(spacing_mm) < least_mm3
    touched = _touching(tumours, labels == 1)
    tumours.paint(small & touched, changed, 1)
    tumours.paint(small & ~touched, changed, 0)
    return changed


def _touching(parts: Components, other: Mask) -> Bool[np.ndarray, " parts"]:
    """Return True for each part that has a face on the other mask."""
    others, touched = runs_in(other), np.zeros(len(parts.runs), dtype=bool)
    for moved in SHIFTS:
        touched[meeting(parts.runs + np.array(moved, np.int32), others, other.shape)[:, 0]] = True
    return parts.any(touched)


def _filled(mask: Mask) -> Mask:
    """Return the mask with all background that is not connected to the border."""
    around = components(~mask, ZYX)
    z, y, first, last = around.runs.T
    at_border = [np.isin(z, (0, mask.shape[0] - 1)), np.isin(y, (0, mask.shape[1] - 1)), first == 0]
    outside = around.any(np.logical_or.reduce([*at_border, last == mask.shape[2]]))
    filled = mask.copy()
    around.paint(~outside, filled, True)
    return filled
