"""CT volumes in canonical orientation, and conversion from and to a file's own voxels."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Int16, Shaped, UInt8
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform

LABELS = {"background": 0, "liver": 1, "tumour": 2}

_LPS = axcodes2ornt(("L", "P", "S"))


@dataclass(frozen=True)
class Volume:
    """A CT scan, x to the patient's left, y to the back, z to the head (LPS).

    Args:
        hu: Hounsfield units.
        spacing_mm: distance between voxel centres along z, y and x.
        affine: from the file's voxel indices (i, j, k) to millimetres, as nibabel gives it (RAS+).
        forms: geometry of a NIfTI header whose sform and qform disagree, by the names of its fields: masks get it, too.
    """

    hu: Int16[np.ndarray, "z y x"]
    spacing_mm: tuple[float, float, float]
    affine: Float[np.ndarray, "4 4"]
    forms: Mapping[str, Any] | None = None


class Slice(NamedTuple):
    """An axial slice for augmentation, with neighbouring slices as channels.

    Args:
        hu: Hounsfield units, before windowing.
        labels: 0 background, 1 liver, 2 tumour.
        spacing_mm: distance between pixel centres along y and x.
    """

    hu: Float32[np.ndarray, "y x channel"]
    labels: UInt8[np.ndarray, "y x"]
    spacing_mm: tuple[float, float]


def to_canonical(voxels: Shaped[np.ndarray, "k j i"], affine: Float[np.ndarray, "4 4"]) -> Shaped[np.ndarray, "z y x"]:
    """Convert a file's array, slowest index first, to LPS (z, y, x): a flipped and transposed view, not resampled."""
    return reorient(voxels, ornt_transform(io_orientation(affine), _LPS))


def from_canonical(
    voxels: Shaped[np.ndarray, "z y x"], affine: Float[np.ndarray, "4 4"]
) -> Shaped[np.ndarray, "k j i"]:
    """Undo to_canonical: convert LPS (z, y, x) to the order and direction of the file that has this affine."""
    return reorient(voxels, ornt_transform(_LPS, io_orientation(affine)))


def canonical_spacing_mm(
    spacing_mm: tuple[float, float, float], affine: Float[np.ndarray, "4 4"]
) -> tuple[float, float, float]:
    """Return the spacing along z, y and x from a file's spacing along its own i, j and k."""
    axes = ornt_transform(io_orientation(affine), _LPS)[:, 0].astype(int)
    x, y, z = (spacing_mm[int(np.flatnonzero(axes == axis)[0])] for axis in range(3))
    return (z, y, x)


def file_index(
    places: Float[np.ndarray, "n 3"], shape: tuple[int, ...], affine: Float[np.ndarray, "4 4"]
) -> Float[np.ndarray, "n 3"]:
    """Return where in the file's array (i, j, k) places (z, y, x) of an LPS array lie.

    Args:
        shape: of the LPS array.
        affine: of the file, as in Volume.
    """
    found = np.empty_like(places)
    for axis, (towards, direction) in enumerate(ornt_transform(io_orientation(affine), _LPS)):
        mine = 2 - int(towards)  # x, y, z of the orientation is 2, 1, 0 of the array
        found[:, axis] = places[:, mine] if direction > 0 else shape[mine] - 1 - places[:, mine]
    return found


def axial_axis(affine: Float[np.ndarray, "4 4"]) -> int:
    """Return which of the file's axes i, j, k leads from one axial slice to the next."""
    return int(np.flatnonzero(ornt_transform(io_orientation(affine), _LPS)[:, 0] == 2)[0])


def canonical_affine(affine: Float[np.ndarray, "4 4"], shape: tuple[int, int, int]) -> Float[np.ndarray, "4 4"]:
    """Return the affine from canonical voxel indices (x, y, z) to the millimetres (RAS+) of the file's affine.

    Args:
        shape: of the canonical volume (z, y, x).
    """
    towards = ornt_transform(io_orientation(affine), _LPS)
    stored = [shape[::-1][int(axis)] for axis in towards[:, 0]]
    return np.asarray(affine @ inv_ornt_aff(towards, stored), float)


def reorient(voxels: Shaped[np.ndarray, "_ _ _"], transform: Any) -> Shaped[np.ndarray, "_ _ _"]:
    """Flip and swap the axes of a file's array by nibabel's orientation transform of (i, j, k): a view."""
    reordered: np.ndarray = apply_orientation(voxels.transpose(2, 1, 0), transform)
    return reordered.transpose(2, 1, 0)
