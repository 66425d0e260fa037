"""Connected components of a mask, such as lesions, and how long they are."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int32, Int64, Shaped
from scipy import ndimage
from scipy.spatial.distance import pdist

from lightning_liver.volume import from_canonical, to_canonical

Box = tuple[slice, slice, slice]
Affine = Float[np.ndarray, "4 4"]

LPS: Affine = np.diag((-1.0, -1.0, 1.0, 1.0))  # of a file that is stored as Volume has it


class Components(NamedTuple):
    """Parts of a mask whose voxels are connected by faces.

    Args:
        labels: 0 outside, 1 to n in the parts.
        voxels: of the parts, in this order.
        boxes: around the parts.
    """

    labels: Int32[np.ndarray, "z y x"]
    voxels: Int64[np.ndarray, " n"]
    boxes: list[Box]


def components(mask: Bool[np.ndarray, "z y x"], affine: Affine) -> Components:
    """Connected components, numbered in the order of the voxels in the file that has this affine (as in Volume)."""
    stored = from_canonical(mask, affine).transpose(2, 1, 0)
    numbered, count = ndimage.label(stored)
    labels = to_canonical(numbered.transpose(2, 1, 0), affine)
    sizes = np.bincount(labels[labels > 0], minlength=count + 1)[1:]
    return Components(labels, sizes.astype(np.int64), ndimage.find_objects(labels))


def box_of(*masks: Shaped[np.ndarray, "z y x"]) -> Box | None:
    """The smallest box around all that is not zero in any of the masks; None where nothing is."""
    ends = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        used = np.flatnonzero(np.any([mask.max(axis=others, initial=0) for mask in masks], axis=0))
        if not used.size:
            return None
        ends.append(slice(int(used[0]), int(used[-1]) + 1))
    z, y, x = ends
    return z, y, x


def widened(box: Box, shape: tuple[int, ...]) -> Box:
    """A box one voxel wider at each end, within an array of this shape."""
    z, y, x = (slice(max(side.start - 1, 0), min(side.stop + 1, n)) for side, n in zip(box, shape, strict=True))
    return z, y, x


def hull_of(boxes: list[Box]) -> Box:
    """The smallest box around some boxes."""
    z, y, x = (slice(min(b.start for b in axis), max(b.stop for b in axis)) for axis in zip(*boxes, strict=True))
    return z, y, x


def axial_diameter_mm(mask: Bool[np.ndarray, "z y x"], spacing_mm: tuple[float, float, float]) -> float:
    """The longest distance between two points of a mask in one axial slice, its pixels taken as rectangles.

    It is the longest diameter of RECIST 1.1 (doi:10.1016/j.ejca.2008.10.026); 0 for an empty mask.
    """
    corners = [_corners_mm(plane, spacing_mm[1:]) for plane in mask if plane.any()]
    bounds = [float(np.linalg.norm(np.ptp(points, axis=0))) for points in corners]
    longest = 0.0
    for n in np.argsort(bounds)[::-1]:  # the most promising first, so that most slices need no look
        if bounds[n] <= longest:
            break
        longest = max(longest, float(pdist(corners[n]).max()))
    return longest


def _corners_mm(plane: Bool[np.ndarray, "y x"], spacing_mm: tuple[float, ...]) -> Float[np.ndarray, "n 2"]:
    """Outer corners of the first and last pixel of each row: the farthest points are among them."""
    rows = np.flatnonzero(plane.any(axis=1))
    used = plane[rows]
    first, last = used.argmax(axis=1), plane.shape[1] - used[:, ::-1].argmax(axis=1)
    corners = [np.column_stack((y, x)) for y in (rows, rows + 1) for x in (first, last)]
    return np.concatenate(corners) * np.asarray(spacing_mm)
