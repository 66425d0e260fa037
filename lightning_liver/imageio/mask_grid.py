"""Masks on their own grid, brought onto the scan's: turned or cropped, but never resampled."""

from itertools import product
from math import prod
from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy as np
from jaxtyping import Float, UInt8
from nibabel.affines import voxel_sizes
from nibabel.orientations import io_orientation

from lightning_liver.errors import LiverError
from lightning_liver.imageio.nifti_geometry import Affine, format_mm
from lightning_liver.volume import Volume, from_canonical, reorient, to_canonical

_CURE = "export it with the scan as reference geometry, or resample it to the scan without interpolation"
_MOST_OF_SCAN = 8  # voxels of a mask over those of its scan
_SAME_MM = 0.01  # of a spacing
_TURNED_BY = 0.1  # largest entry of a rotation that is rounding, 6 degrees: as for masks in NIfTI
_OFF = 0.5  # voxels, at the mask's corners
_SHIFTED = 0.1  # voxels, at the mask's centre
_SINGULAR = 1e-3  # volume of a voxel over the product of its edges

Triple = Float[np.ndarray, "3"]


class _Placement(NamedTuple):
    """Orientation transform from a mask's axes to those of the scan's file, and where in it its first voxel lies."""

    turn: Float[np.ndarray, "3 2"]
    start: tuple[int, int, int]


def on_grid(
    path: Path, labels: UInt8[np.ndarray, "k j i"], affine: Affine, volume: Volume
) -> UInt8[np.ndarray, "z y x"]:
    """Place a mask on the grid of its scan, by its own geometry: flips and swaps of axes and a crop are followed.

    Args:
        path: the file, for messages.
        affine: from the mask's voxel indices (i, j, k) to millimetres (RAS+).

    Raises:
        LiverError: no geometry; another spacing; axes that are not the scan's to within half a voxel; a place between
            the scan's voxels by more than a tenth; labelled voxels outside the scan.
    """
    _refuse_singular(path, affine)
    placed: np.ndarray = np.zeros_like(from_canonical(volume.hu, volume.affine), np.uint8, order="C")
    place = _placement(path, labels.shape[::-1], affine, volume.affine)
    turned = reorient(labels, place.turn)
    inside, target = [], []
    for start, size, most in zip(place.start[::-1], turned.shape, placed.shape, strict=True):
        low, high = min(max(start, 0), most), max(min(start + size, most), 0)
        inside.append(slice(low - start, max(high, low) - start))
        target.append(slice(low, max(high, low)))
    placed[tuple(target)] = turned[tuple(inside)]
    outside = int(np.count_nonzero(turned) - np.count_nonzero(placed))
    if outside:
        _refuse_outside(path, outside, turned, place, volume.affine, placed.shape)
    return np.ascontiguousarray(to_canonical(placed, volume.affine))


def refuse_larger(path: Path, shape: tuple[int, ...], volume: Volume) -> None:
    """Refuse a mask of many more voxels than its scan, before memory is taken.

    Args:
        shape: voxels along i, j and k, as a header promises.

    Raises:
        LiverError: eight times as many, or none.
    """
    seen = " x ".join(map(str, shape))
    if min(shape) < 1:
        raise LiverError(f"{path}: a mask without voxels ({seen}); save it again")
    if prod(shape) > _MOST_OF_SCAN * volume.hu.size:
        scan = " x ".join(map(str, from_canonical(volume.hu, volume.affine).shape[::-1]))
        raise LiverError(f"{path}: the mask has {seen} voxels, its scan {scan} (i, j, k); {_CURE}")


def _placement(path: Path, shape: tuple[int, ...], affine: Affine, scan: Affine) -> _Placement:
    step = np.linalg.solve(scan, affine)  # from indices of the mask to those of the scan
    turn = io_orientation(step)
    towards, signs = turn[:, 0].astype(int), turn[:, 1]
    sizes, mask_mm, scan_mm = np.empty(3), np.empty(3), voxel_sizes(scan)
    sizes[towards], mask_mm[towards] = shape, voxel_sizes(affine)
    _refuse_other_spacing(path, mask_mm, scan_mm, sizes)
    exact = np.zeros((3, 3))
    exact[towards, range(3)] = signs
    _refuse_rotation(path, step[:3, :3] - exact, shape, scan)
    centre = (np.array(shape) - 1) / 2
    start = step[:3, :3] @ centre + step[:3, 3] - (sizes - 1) / 2
    whole = np.rint(start)
    off = np.abs(start - whole)
    if off.max() > _SHIFTED:
        raise LiverError(
            f"{path}: the mask lies {format_mm(off * scan_mm)} (i, j, k) off the nearest voxels of the scan; {_CURE}"
        )
    i, j, k = (int(each) for each in whole)
    return _Placement(turn, (i, j, k))


def _refuse_singular(path: Path, affine: Affine) -> None:
    edges_mm = voxel_sizes(affine)
    fine = np.isfinite(affine).all() and edges_mm.min() > 0
    if not fine or abs(np.linalg.det(affine[:3, :3] / edges_mm)) < _SINGULAR:
        raise LiverError(f"{path}: the mask's geometry is singular or not finite: {affine[:3].tolist()}; {_CURE}")


def _refuse_other_spacing(path: Path, mask_mm: Triple, scan_mm: Triple, sizes: Triple) -> None:
    drift = np.abs(mask_mm / scan_mm - 1) * (sizes - 1) / 2  # voxels, from the centre to the ends
    if np.abs(mask_mm - scan_mm).max() > _SAME_MM or drift.max() > _OFF:
        raise LiverError(
            f"{path}: the mask's spacing is {format_mm(mask_mm)}, its scan's {format_mm(scan_mm)} (i, j, k); {_CURE}"
        )


def _refuse_rotation(path: Path, excess: Float[np.ndarray, "3 3"], shape: tuple[int, ...], scan: Affine) -> None:
    """Refuse axes of a mask that are turned or sheared against the scan's.

    Args:
        excess: step along the mask's axes in the scan's voxels, less that of a mere turn by right angles.
    """
    corners = np.array(list(product(*((-(size - 1) / 2, (size - 1) / 2) for size in shape))))
    off = corners @ excess.T
    if np.abs(excess).max() > _TURNED_BY or np.abs(off).max() > _OFF:
        off_mm = float(np.linalg.norm(off @ scan[:3, :3].T, axis=1).max())
        raise LiverError(
            f"{path}: the mask's axes are rotated or sheared against the scan's, by {off_mm:.3g} mm at its corners; "
            f"{_CURE}"
        )


def _refuse_outside(
    path: Path,
    count: int,
    turned: UInt8[np.ndarray, "k j i"],
    place: _Placement,
    scan: Affine,
    scan_shape: tuple[int, ...],
) -> NoReturn:
    beyond = []
    for axis, (start, most, mm) in enumerate(zip(place.start[::-1], scan_shape, voxel_sizes(scan)[::-1], strict=True)):
        others = tuple(other for other in range(3) if other != axis)
        labelled = np.flatnonzero(turned.any(axis=others)) + start
        beyond.append(max(0, -labelled[0], labelled[-1] - most + 1) * mm)
    raise LiverError(
        f"{path}: {count} labelled voxels lie outside the scan, by up to {max(beyond):.6g} mm; erase them, or "
        "give the mask of this scan"
    )
