"""Distances between the surfaces of two masks, in millimetres.

A voxel is of the surface when one of its neighbours is not of the mask. Which neighbours are meant, and what lies
beyond the scan, makes the difference between published figures. Heimann et al. 2009 (doi:10.1109/TMI.2009.2013851)
and the LiTS scorer look at 18 neighbours, and nothing is beyond the scan: a liver that the scan cuts off ends there.
The CHAOS organisers (emrekavur/CHAOS-evaluation, MATLAB and Julia) look at the 6 that share a face, and the mask goes
on beyond the scan. Their surface is thinner, so fewer of its voxels lie in the other surface, at a distance of 0. For
their sample submission, whose liver begins in the first slice, ASSD is 0.594 mm by the first definition and 0.734 mm
by the second (0.713 mm if it ended there, as in their Python version); the maximum is 14 mm by all.

Distances are from each voxel of one surface to the nearest one of the other, centre to centre. A distance from or to
nothing is undefined (None), and surface Dice is 1 where both masks are empty, 0 where only one of them is.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import ndimage
from scipy.spatial import KDTree

from lightning_liver.errors import LiverError
from lightning_liver.metrics.components import box_of, widened
from lightning_liver.metrics.voxel_counts import SpacingMm

Mask = Bool[np.ndarray, "z y x"]

_PERCENTILE = 95
_MANY = 40  # voxels of the box for each that looks for its nearest: where it has fewer, the transform is quicker


class Definition(NamedTuple):
    """What a surface is.

    Args:
        connectivity: of neighbours, as in scipy.ndimage.generate_binary_structure: 1 are 6, 2 are 18.
        goes_on: whether the mask goes on beyond the array.
    """

    connectivity: int
    goes_on: bool


HEIMANN = Definition(connectivity=2, goes_on=False)
CHAOS = Definition(connectivity=1, goes_on=True)


class SurfaceFigures(NamedTuple):
    """Figures of two surfaces; distances are None where one of them is empty.

    Args:
        assd_mm: average symmetric surface distance: the mean over the voxels of both surfaces.
        rmsd_mm: root mean square symmetric surface distance, over the same.
        mssd_mm: maximum symmetric surface distance, or Hausdorff distance.
        hd95_mm: the larger of both directions' 95th percentile.
        surface_dice: the share of both surfaces' voxels within the tolerance of the other surface
            (Nikolov et al. 2018, arXiv:1809.04430, counting voxels where they measure area).
    """

    assd_mm: float | None
    rmsd_mm: float | None
    mssd_mm: float | None
    hd95_mm: float | None
    surface_dice: float


_MANY = 40  # voxels of the box for each that is looked for: with fewer, the distance transform is the quicker one


class Distances(NamedTuple):
    """From each voxel of a surface to the other surface, in millimetres."""

    from_truth: Float[np.ndarray, " true"]
    from_prediction: Float[np.ndarray, " predicted"]


def surface_figures(
    truth: Mask, prediction: Mask, *, spacing_mm: SpacingMm, tolerance_mm: float, definition: Definition
) -> SurfaceFigures:
    """All figures of two masks of one shape.

    Args:
        spacing_mm: distance between voxel centres along z, y and x.
        tolerance_mm: up to which a distance counts as none for surface_dice.
        definition: HEIMANN or CHAOS.

    Raises:
        LiverError: a tolerance below 0.
    """
    if not tolerance_mm >= 0:
        raise LiverError(f"tolerance_mm is {tolerance_mm}; 0 or more is needed")
    distances = surface_distances(truth, prediction, spacing_mm=spacing_mm, definition=definition)
    if distances is None:
        return SurfaceFigures(None, None, None, None, float(not truth.any() and not prediction.any()))
    return figures_of(distances, tolerance_mm)


def figures_of(distances: Distances, tolerance_mm: float) -> SurfaceFigures:
    """Figures of distances that are there."""
    pooled = np.concatenate(distances)
    return SurfaceFigures(
        assd_mm=float(pooled.mean()),
        rmsd_mm=float(np.sqrt(np.square(pooled).mean())),
        mssd_mm=float(pooled.max()),
        hd95_mm=float(max(np.percentile(way, _PERCENTILE) for way in distances)),
        surface_dice=float((pooled <= tolerance_mm).mean()),
    )


def surface_distances(
    truth: Mask, prediction: Mask, *, spacing_mm: SpacingMm, definition: Definition
) -> Distances | None:
    """Distances both ways, as for surface_figures; None where a mask is empty."""
    box = box_of(truth, prediction)
    if box is None:
        return None
    wider = widened(box, truth.shape)  # so that an end of the box is one of the array only where it is
    surfaces = [surface(mask[wider], definition) for mask in (truth, prediction)]
    if not all(found.any() for found in surfaces):
        return None
    true, predicted = surfaces
    return Distances(_nearest_mm(true, predicted, spacing_mm), _nearest_mm(predicted, true, spacing_mm))


def surface(mask: Mask, definition: Definition) -> Mask:
    """Voxels of the mask with a neighbour outside of it."""
    neighbours = ndimage.generate_binary_structure(3, definition.connectivity)
    inside: Mask = ndimage.binary_erosion(mask, neighbours, border_value=int(definition.goes_on))
    return mask & ~inside


def _nearest_mm(start: Mask, target: Mask, spacing_mm: SpacingMm) -> Float[np.ndarray, " start"]:
    """A tree of surface voxels takes a tenth of a distance transform's time, unless a poor mask is surface all over."""
    places = np.argwhere(start)
    shared = target[tuple(places.T)]
    distances, apart = np.zeros(len(places)), places[~shared]
    if len(apart) * _MANY > target.size:
        distances[~shared] = _by_transform(apart, target, spacing_mm)
    else:
        tree = KDTree(_mm(np.argwhere(target), spacing_mm), balanced_tree=False)
        distances[~shared], _ = tree.query(_mm(apart, spacing_mm))
    return distances


def _by_transform(places: Int[np.ndarray, "n 3"], target: Mask, spacing_mm: SpacingMm) -> Float[np.ndarray, " n"]:
    """Seconds go by the size of the box alone, and each voxel takes 12 bytes."""
    nearest = ndimage.distance_transform_edt(~target, sampling=spacing_mm, return_distances=False, return_indices=True)
    apart = nearest[(slice(None), *places.T)].T - places
    return np.sqrt((_mm(apart, spacing_mm) ** 2).sum(axis=1))


def _mm(places: Int[np.ndarray, "n 3"], spacing_mm: SpacingMm) -> Float[np.ndarray, "n 3"]:
    return places * np.asarray(spacing_mm, dtype=np.float64)
