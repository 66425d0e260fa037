"""Connected components of a mask, such as lesions, and their diameters.

They are stored as runs of voxels, so that neither large parts nor specks all over a scan need much memory.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int32, Int64, Integer, Shaped
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import pdist

Box = tuple[slice, slice, slice]
Affine = Float[np.ndarray, "4 4"]
Places = Integer[np.ndarray, "_ 3"]  # z, y, x
Runs = Int32[np.ndarray, "_ 4"]  # z, y, first x, x after the last
Pairs = Int32[np.ndarray, "_ 2"]
Mask = Bool[np.ndarray, "z y x"]

_AT_ONCE = 2**18  # runs processed at a time, to bound memory
_FEW = 12  # runs of slices that are measured together, corner by corner
_PAIRS = 2**20  # of corners, compared at a time

SPECK: Box = (slice(0, 1),) * 3  # box of an empty mask, chosen arbitrarily
LPS: Affine = np.diag((-1.0, -1.0, 1.0, 1.0))  # of a file stored in the order of Volume
ZYX: Affine = np.array(
    [[0, 0, -1, 0], [0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1.0]]
)  # of a file stored in the order of the array


class Components(NamedTuple):
    """Parts of a mask whose voxels are connected by faces, as runs of consecutive voxels along x.

    Args:
        runs: z, y, x of the first voxel and x after the last one, part by part; within a part in the array's order.
        starts: index in runs of each part's first run, and the number of runs.
        voxels: the size of each part.
    """

    runs: Runs
    starts: Int64[np.ndarray, " parts_and_1"]
    voxels: Int64[np.ndarray, " parts"]

    def runs_of(self, number: int) -> Runs:
        """Return the runs of a part; the first one is number 1."""
        return self.runs[self.starts[number - 1] : self.starts[number]]

    def part(self, number: int) -> Places:
        """Return the voxels of a part, in the order of the array."""
        runs = self.runs_of(number)
        lengths = runs[:, 3] - runs[:, 2]
        places = np.repeat(runs[:, :3], lengths, axis=0)
        places[:, 2] += np.arange(len(places)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        return places

    def paint(self, which: Bool[np.ndarray, " parts"], labels: Shaped[np.ndarray, "z y x"], value: int) -> None:
        """Write a value over some parts, in an array of the mask's shape."""
        for z, y, first, last in self.runs[np.repeat(which, np.diff(self.starts))].tolist():
            labels[z, y, first:last] = value

    def any(self, of_runs: Bool[np.ndarray, " n"]) -> Bool[np.ndarray, " parts"]:
        """Return True for each part with any true run."""
        return np.logical_or.reduceat(of_runs, self.starts[:-1]) if len(self.voxels) else np.zeros(0, bool)


def components(mask: Mask, affine: Affine) -> Components:
    """Find connected components, numbered by their first voxels in the file that has this affine (as in Volume).

    The file's order is that of scipy.ndimage.label on nibabel's array: k varies first, i last.
    """
    runs = runs_in(mask)
    count, found = _connect(runs, mask.shape)
    first = np.full(count, np.iinfo(np.int64).max)
    for x, beyond in ((2, 0), (3, 1)):  # along a run the index in the file increases or decreases
        np.minimum.at(first, found, _stored_index((*runs.T[:2], runs.T[x] - beyond), mask.shape, affine))
    numbers = np.argsort(np.argsort(first)).astype(np.int32)[found]
    order = np.argsort(numbers, kind="stable").astype(np.int32)
    starts = np.concatenate(([0], np.cumsum(np.bincount(numbers, minlength=count)))).astype(np.int64)
    voxels = np.zeros(count, np.int64)
    np.add.at(voxels, numbers, runs[:, 3] - runs[:, 2])
    return Components(runs[order], starts, voxels)


def runs_in(mask: Mask) -> Runs:
    """Find runs of consecutive voxels along x: z, y, first x and x after the last, in the order of the array."""
    found = [np.zeros((0, 4), np.int32)]
    for z, plane in enumerate(mask):
        within = np.pad(plane, ((0, 0), (1, 1)))
        edges = np.argwhere(within[:, 1:] != within[:, :-1])  # alternately the first and the one after the last
        rows = np.column_stack((edges[::2], edges[1::2, 1]))
        found.append(np.column_stack((np.full(len(rows), z), rows)).astype(np.int32))
    return np.concatenate(found)


def meeting(runs: Runs, others: Runs, shape: tuple[int, ...]) -> Pairs:
    """Find the pairs of runs and others that share voxels, as positions; all are within arrays of this shape.

    Runs shifted along y out of such an array meet nothing.
    """
    begins, ends = _flat(others, shape)
    order = np.argsort(begins).astype(np.int32)
    begins, ends = begins[order], ends[order]
    found = [np.zeros((0, 2), np.int32)]
    for start in range(0, len(runs), _AT_ONCE):
        own_begins, own_ends = _flat(runs[start : start + _AT_ONCE], shape)
        low = np.searchsorted(ends, own_begins, side="right")
        counts = np.searchsorted(begins, own_ends, side="left") - low
        places = np.arange(counts.sum()) + np.repeat(low - np.cumsum(counts) + counts, counts)
        mine = np.repeat(np.arange(start, start + len(counts), dtype=np.int32), counts)
        found.append(np.column_stack((mine, order[places])))
    return np.concatenate(found)


def box_of(*masks: Shaped[np.ndarray, "z y x"]) -> Box | None:
    """Return the smallest box around the nonzero voxels of all masks; None if there are none."""
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
    """Return a box one voxel wider at each end, within an array of this shape."""
    z, y, x = (slice(max(side.start - 1, 0), min(side.stop + 1, n)) for side, n in zip(box, shape, strict=True))
    return z, y, x


def masks_of(*groups: Places) -> list[Mask]:
    """Return a mask of each group of voxels, in the smallest box around all groups."""
    low = np.min([places.min(axis=0) for places in groups], axis=0)
    high = np.max([places.max(axis=0) for places in groups], axis=0)
    masks = [np.zeros(high - low + 1, dtype=bool) for _ in groups]
    for mask, places in zip(masks, groups, strict=True):
        mask[tuple((places - low).T)] = True
    return masks


def axial_diameters_mm(parts: Components, spacing_mm: tuple[float, float, float]) -> Float[np.ndarray, " parts"]:
    """Return each part's longest distance between two points of one axial slice, with pixels as rectangles.

    This is the longest diameter of RECIST 1.1 (doi:10.1016/j.ejca.2008.10.026).

    Args:
        spacing_mm: distance between voxel centres along z, y and x.
    """
    y_mm, x_mm = spacing_mm[1:]
    longest = np.zeros(len(parts.voxels))
    of_part = np.repeat(np.arange(len(parts.voxels)), np.diff(parts.starts))
    begins = _slices_begin(parts, of_part)
    counts = np.diff(begins, append=len(parts.runs))
    for count in range(2, _FEW + 1):
        same = begins[counts == count]
        for some in np.array_split(same, 1 + len(same) * (4 * count) ** 2 // _PAIRS):
            runs = parts.runs[some[:, None] + np.arange(count)]
            np.maximum.at(longest, of_part[some], _small_diameters_mm(runs, (y_mm, x_mm)))
    lengths = (parts.runs[:, 3] - parts.runs[:, 2])[begins[counts == 1]]
    np.maximum.at(longest, of_part[begins[counts == 1]], np.hypot(y_mm, lengths * x_mm))
    for number in np.unique(of_part[begins[counts > _FEW]]).tolist():
        longest[number] = _diameter_mm(parts.runs_of(number + 1), (y_mm, x_mm))
    return longest


def _slices_begin(parts: Components, of_part: Int64[np.ndarray, " run"]) -> Int64[np.ndarray, " piece"]:
    """Return the index of the first run of each part in each of its slices."""
    return np.flatnonzero(np.diff(of_part, prepend=-1) | np.diff(parts.runs[:, 0], prepend=-1))


def largest_slices(parts: Components) -> Int64[np.ndarray, " parts"]:
    """Return the index in z of the axial slice with most of each part; of equal ones the lowest."""
    of_part = np.repeat(np.arange(len(parts.voxels)), np.diff(parts.starts))
    z, lengths = parts.runs[:, 0].astype(np.int64), parts.runs[:, 3] - parts.runs[:, 2]
    begins = _slices_begin(parts, of_part)
    if not begins.size:
        return np.zeros(0, np.int64)
    areas, owners = np.add.reduceat(lengths, begins), of_part[begins]
    order = np.lexsort((z[begins], -areas, owners))
    return z[begins][order][np.diff(owners[order], prepend=-1) > 0]


def centroids(parts: Components) -> Float[np.ndarray, "parts 3"]:
    """Return the mean voxel index (z, y, x) of each part."""
    if not len(parts.voxels):
        return np.zeros((0, 3))
    z, y, first, last = parts.runs.T
    places = np.column_stack((z, y, (first + last - 1) / 2))
    sums = np.add.reduceat(places * (last - first)[:, None], parts.starts[:-1], axis=0)
    return sums / parts.voxels[:, None]


def _connect(runs: Runs, shape: tuple[int, ...]) -> tuple[int, Int32[np.ndarray, " n"]]:
    """Return the number of parts and the part of each run, in arbitrary order."""
    found = [meeting(runs + np.array(step, np.int32), runs, shape) for step in ((1, 0, 0, 0), (0, 1, 0, 0))]
    first, second = np.concatenate(found).T
    graph = coo_array((np.ones(len(first), bool), (first, second)), shape=(len(runs), len(runs)))
    return connected_components(graph.tocsr(), directed=False)


def _flat(runs: Runs, shape: tuple[int, ...]) -> tuple[Int64[np.ndarray, " n"], Int64[np.ndarray, " n"]]:
    """Return begins and ends of runs on one line of all rows, with gaps between rows and slices."""
    z, y, first, last = runs.T
    row = (z.astype(np.int64) * (shape[1] + 1) + y) * (shape[2] + 1)
    return row + first, row + last


def _stored_index(places: Sequence[np.ndarray], shape: tuple[int, ...], affine: Affine) -> Int64[np.ndarray, " n"]:
    """Return the index of voxels in the file's array (i, j, k), of which k varies first."""
    way = ornt_transform(io_orientation(affine), axcodes2ornt(("L", "P", "S")))
    index = np.zeros(len(places[0]), dtype=np.int64)
    for towards, direction in way:
        axis = 2 - int(towards)  # x, y, z of the orientation is 2, 1, 0 of the array
        along = places[axis] if direction > 0 else shape[axis] - 1 - places[axis]
        index = index * shape[axis] + along
    return index


def _corners_mm(runs: Shaped[np.ndarray, "*parts run 4"], pixel_mm: tuple[float, float]) -> np.ndarray:
    """Return y and x of the four corners of each run: (*parts, run, 4, 2)."""
    _, y, first, last = np.moveaxis(runs, -1, 0)
    corners = [np.stack((side, x), axis=-1) for side in (y, y + 1) for x in (first, last)]
    return np.asarray(np.stack(corners, axis=-2) * pixel_mm)


def _small_diameters_mm(
    runs: Shaped[np.ndarray, "slice run 4"], pixel_mm: tuple[float, float]
) -> Float[np.ndarray, " slice"]:
    """Return the diameters of slices of parts that have equally many runs."""
    corners = _corners_mm(runs, pixel_mm).reshape(len(runs), 4 * runs.shape[1], 2)
    apart = ((corners[:, :, None] - corners[:, None]) ** 2).sum(axis=-1)
    longest: np.ndarray = np.sqrt(apart.max(axis=(1, 2), initial=0))
    return longest


def _diameter_mm(runs: Runs, pixel_mm: tuple[float, float]) -> float:
    """Return the diameter of one part; the farthest points of a slice are among the outer corners of its rows.

    Rows are at most as many as pixels along y. Runs may be thousands, of a network that has learnt nothing.
    """
    begins = np.flatnonzero(np.diff(runs[:, :2], axis=0, prepend=-1).any(axis=1))
    runs = np.column_stack(
        (runs[begins, :2], np.minimum.reduceat(runs[:, 2], begins), np.maximum.reduceat(runs[:, 3], begins))
    )
    corners = _corners_mm(runs, pixel_mm)
    of_slices = [points.reshape(-1, 2) for points in np.split(corners, np.flatnonzero(np.diff(runs[:, 0])) + 1)]
    bounds = [float(np.linalg.norm(np.ptp(points, axis=0))) for points in of_slices]
    longest = 0.0
    for n in np.argsort(bounds)[::-1]:  # the largest bound first, so that most slices are skipped
        if bounds[n] <= longest:
            break
        longest = max(longest, float(pdist(of_slices[n]).max()))
    return longest
