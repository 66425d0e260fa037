"""Distances between the surfaces of two masks, in millimetres.

A voxel lies on the surface if one of its neighbours is outside the mask. Published figures differ by the neighbourhood
and by what is assumed beyond the scan. Heimann et al. 2009 (doi:10.1109/TMI.2009.2013851) and the LiTS scorer use 18
neighbours, and the mask ends at the border of the scan. The CHAOS organisers (emrekavur/CHAOS-evaluation, MATLAB and
Julia) use the 6 that share a face, and the mask continues beyond the scan. Their surface is thinner, so fewer of its
voxels lie on the other surface, at a distance of 0. For their sample submission, whose liver begins in the first slice,
ASSD is 0.594 mm by the first definition and 0.734 mm by the second (0.713 mm if the mask ends there, as in their Python
version); the maximum is 14 mm by all.

Distances are from each voxel of one surface to the nearest one of the other, centre to centre. A distance from or to
an empty mask is undefined (None).
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import ndimage
from scipy.spatial import KDTree

from lightning_liver.metrics.components import box_of, widened
from lightning_liver.metrics.voxel_counts import SpacingMm

Mask = Bool[np.ndarray, "z y x"]

_MANY = 40  # voxels of the box per query voxel; with fewer, the distance transform is quicker than the tree


class Definition(NamedTuple):
    """Definition of a surface.

    Args:
        connectivity: as in scipy.ndimage.generate_binary_structure: 1 is 6 neighbours, 2 is 18.
        goes_on: True if the mask continues beyond the array.
    """

    connectivity: int
    goes_on: bool


HEIMANN = Definition(connectivity=2, goes_on=False)
CHAOS = Definition(connectivity=1, goes_on=True)


class Distances(NamedTuple):
    """Distance of each voxel of a surface to the other surface, in millimetres."""

    from_truth: Float[np.ndarray, " true"]
    from_prediction: Float[np.ndarray, " predicted"]

    @property
    def both(self) -> Float[np.ndarray, " both"]:
        return np.concatenate(self)


def surface_distances(
    truth: Mask, prediction: Mask, *, spacing_mm: SpacingMm, definition: Definition
) -> Distances | None:
    """Return distances both ways; None where a mask is empty.

    Args:
        truth, prediction: masks of one shape.
        spacing_mm: distance between voxel centres along z, y and x.
    """
    box = box_of(truth, prediction)
    if box is None:
        return None
    wider = widened(box, truth.shape)  # so that the box ends at the array's border only where the array does
    surfaces = [surface(mask[wider], definition) for mask in (truth, prediction)]
    if not all(found.any() for found in surfaces):
        return None
    true, predicted = surfaces
    return Distances(_nearest_mm(true, predicted, spacing_mm), _nearest_mm(predicted, true, spacing_mm))


def surface(mask: Mask, definition: Definition) -> Mask:
    """Return the voxels of the mask with a neighbour outside it."""
    neighbours = ndimage.generate_binary_structure(3, definition.connectivity)
    inside: Mask = ndimage.binary_erosion(mask, neighbours, border_value=int(definition.goes_on))
    return mask & ~inside


def _nearest_mm(start: Mask, target: Mask, spacing_mm: SpacingMm) -> Float[np.ndarray, " start"]:
    """Return each start voxel's distance to the target.

    A tree of surface voxels takes a tenth of a distance transform's time, unless nearly all of a poor mask is surface.
    """
    places = np.argwhere(start)
    shared = target[tuple(places.T)]
    distances, apart = np.zeros(len(places)), places[~shared]
    if not len(apart):
        return distances
    if len(apart) * _MANY > target.size:
        distances[~shared] = _by_transform(apart, target, spacing_mm)
    else:
        tree = KDTree(_mm(np.argwhere(target), spacing_mm), balanced_tree=False)
        distances[~shared], _ = tree.query(_mm(apart, spacing_mm))
    return distances


def _by_transform(places: Int[np.ndarray, "n 3"], target: Mask, spacing_mm: SpacingMm) -> Float[np.ndarray, " n"]:
    """Measure by a distance transform: time depends on the box's size alone, memory is 12 bytes a voxel."""
    nearest = ndimage.distance_transform_edt(~target, sampling=spacing_mm, return_distances=False, return_indices=True)
    apart = nearest[(slice(None), *places.T)].T - places
    return np.sqrt((_mm(apart, spacing_mm) ** 2).sum(axis=1))


def _mm(places: Int[np.ndarray, "n 3"], spacing_mm: SpacingMm) -> Float[np.ndarray, "n 3"]:
    return places * np.asarray(spacing_mm, dtype=np.float64)
