"""The phantom's canvas: shapes as signed distances, painted in atlas millimetres.

Coordinates are LPS: x to the patient's left, y to the back, z to the head, origin in front of the first lumbar
vertebra. A patient is the atlas, scaled and bent by a smooth random displacement that keeps neighbours together. A
shape is a signed distance in millimetres, negative inside; distance over voxel size gives the partial volume.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float32, UInt8
from numpy.random import Generator
from scipy import ndimage

Array = Float32[np.ndarray, "_ _ _"]  # (z, y, x) of the canvas or of a box in it
Labels = UInt8[np.ndarray, "z y x"]  # 0 background, 1 liver, 2 tumour
Box = tuple[slice, slice, slice]
Point = tuple[float, float, float]  # atlas millimetres, (z, y, x)

FAT_HU = -102.0


@dataclass(frozen=True)
class Enhancement:
    """HU of organs that contrast medium brightens."""

    liver: float
    spleen: float
    artery: float
    vein: float
    cortex: float
    medulla: float
    gut: float
    muscle: float

    @property
    def myocardium(self) -> float:
        """HU between muscle and blood; as bright as blood without contrast medium."""
        return min(0.4 * self.artery + 60, 0.9 * self.artery + 10)  # the two meet at 100 HU


@dataclass(frozen=True)
class Patient:
    """Parameters of a patient's body, besides its random streams.

    Args:
        scale: size relative to the atlas along z, y, x.
        fat_mm: mean thickness of subcutaneous fat.
        tumour_fraction: median over patients of tumour volume / liver volume; 0 for a patient without tumours.
        hypervascular: probability that a tumour, other than the largest, is brighter than the liver.
        tumour_below_hu: lowest and highest difference of the liver's HU and a dark tumour's.
        tumour_hu: range to which a dark tumour is clipped.
    """

    scale: Point
    fat_mm: float
    tumour_fraction: float
    hypervascular: float
    tumour_below_hu: tuple[float, float]
    tumour_hu: tuple[float, float]
    hu: Enhancement


class Canvas:
    """Canvas of HU and liver fraction of every voxel; later shapes cover earlier ones.

    Args:
        axes_mm: voxel centres along z, y and x.
        scale: size of the body relative to the atlas.
        bend_mm: standard deviation of the displacement along z, y and x.
    """

    def __init__(
        self, axes_mm: Sequence[np.ndarray], scale: Point, rng: Generator, bend_mm: Point = (2.5, 3.5, 4.0)
    ) -> None:
        self.axes = [(a / s).astype(np.float32) for a, s in zip(axes_mm, scale, strict=True)]
        self.shape = tuple(len(a) for a in self.axes)
        self.step = [float(a[1] - a[0]) for a in self.axes]
        bend = [self.noise(rng, 75.0) * mm for mm in bend_mm]
        self.z, self.y, self.x = (b + a for b, a in zip(bend, np.ix_(*self.axes), strict=True))
        self.hu = np.full(self.shape, -1000.0, np.float32)
        self.liver = np.zeros(self.shape, np.float32)

    def noise(self, rng: Generator, grain_mm: float, box: Box | None = None) -> Array:
        """Draw a smooth Gaussian field, mean 0, standard deviation 1; equal in millimetres for every matrix."""
        spans = [slice(None)] * 3 if box is None else box
        axes = [a[s] for a, s in zip(self.axes, spans, strict=True)]
        coarse = [max(2, round(float(np.ptp(a)) / grain_mm)) + 2 for a in axes]
        field = rng.standard_normal(coarse, np.float32)
        field = ndimage.zoom(field, (len(axes[0]) / coarse[0], 1, 1), order=2, mode="nearest", grid_mode=True)
        size = (len(axes[2]), len(axes[1]))
        fine = np.stack([cv2.resize(plane, size, interpolation=cv2.INTER_CUBIC) for plane in field])
        return fine / fine.std()

    def box(self, centre: Point, reach: Point) -> Box:
        """Return the box of voxels within reach of a point, at least one."""
        edges = [np.searchsorted(a, (c - r, c + r)) for a, c, r in zip(self.axes, centre, reach, strict=True)]
        return tuple(  # type: ignore[return-value]
            slice(min(int(lo), n - 1), max(int(hi), min(int(lo), n - 1) + 1))
            for (lo, hi), n in zip(edges, self.shape, strict=True)
        )

    def coverage(self, distance: Array) -> Array:
        """Return each voxel's fraction inside a shape: a ramp as wide as the voxel along the surface's normal."""
        width = np.abs(np.gradient(distance, axis=0)) if len(distance) > 1 else np.zeros_like(distance)
        width += self.step[2]
        return np.clip(0.5 - distance / width, 0, 1)

    def paint(self, box: Box, distance: Array, hu: Array | float, *, in_liver: bool = False) -> Array:
        """Blend a shape over the canvas; unless it belongs to the liver, it replaces the liver."""
        part = self.coverage(distance)
        self.hu[box] += part * (hu - self.hu[box])
        if not in_liver:
            self.liver[box] *= 1 - part
        return part

    def labels(self, tumour: Array) -> Labels:
        """Return the labels of voxels that are more than half liver or, over it, tumour."""
        labels = (self.liver > 0.5).astype(np.uint8)
        labels[tumour > 0.5] = 2
        return labels

    def ellipsoid(self, centre: Point, radii: Point, *, turn: float) -> tuple[Box, Array]:
        """Return the box around an ellipsoid turned about z by radians, and the distance to it."""
        reach = max(radii[1:]) + 16 if turn else 0.0
        box = self.box(centre, (radii[0] + 14, reach or radii[1] + 16, reach or radii[2] + 16))
        return box, self.ellipsoid_in(box, centre, radii, turn)

    def ellipsoid_in(self, box: Box, centre: Point, radii: Point, turn: float) -> Array:
        """Return the first-order distance to an ellipsoid, by Quilez (iquilezles.org/articles/ellipsoids)."""
        z, y, x = (axis[box] - float(c) for axis, c in zip((self.z, self.y, self.x), centre, strict=True))
        cos, sin = float(np.cos(turn)), float(np.sin(turn))
        y, x = (y * cos - x * sin, y * sin + x * cos) if turn else (y, x)
        a, b, c = (float(radius) for radius in radii)
        u, v, w = z / a, y / b, x / c
        k0 = np.sqrt(u * u + v * v + w * w)
        k1 = np.sqrt((u / a) ** 2 + (v / b) ** 2 + (w / c) ** 2)
        return k0 * (k0 - 1) / (k1 + 1e-6)

    def tube(self, points: np.ndarray, radii: np.ndarray, rim_mm: float) -> tuple[Box, Array]:
        """Return box and distance to the union of balls along a line (n, 3), valid up to rim_mm outside."""
        points = points - self.bend(points)  # one fixed-point step is enough, as the bending varies slowly
        lo, hi = points.min(0) - radii.max() - rim_mm, points.max(0) + radii.max() + rim_mm
        box = self.box(tuple((lo + hi) / 2), tuple((hi - lo) / 2))
        offset = [s.start for s in box]
        distance = np.full([s.stop - s.start for s in box], np.float32(rim_mm))
        for centre, radius in zip(points, radii, strict=True):
            spans = self.box(tuple(centre), (radius + rim_mm,) * 3)
            z, y, x = np.ix_(*(a[s] - np.float32(c) for a, s, c in zip(self.axes, spans, centre, strict=True)))
            view = distance[tuple(slice(s.start - o, s.stop - o) for s, o in zip(spans, offset, strict=True))]
            np.minimum(view, np.sqrt(z * z + y * y + x * x) - np.float32(radius), out=view)
        return box, distance

    def nearest(self, points: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return the indices of the voxels at points (n, 3) of the unbent axes."""
        each = zip(self.axes, points.T, self.step, strict=True)
        return tuple(np.searchsorted(a, p - step / 2).clip(0, len(a) - 1) for a, p, step in each)

    def bend(self, points: np.ndarray) -> np.ndarray:
        """Return the displacement of the anatomy at points (n, 3) of the unbent axes."""
        index = self.nearest(points)
        bent = np.stack([axis[index] for axis in (self.z, self.y, self.x)], 1)
        return bent - np.stack([a[i] for a, i in zip(self.axes, index, strict=True)], 1)


def softmax(a: Array, b: Array, blend_mm: float) -> Array:
    """Intersect two shapes with a rounded edge."""
    difference = a - b
    return (a + b + np.sqrt(difference * difference + blend_mm**2)) * 0.5


def softmin(a: Array, b: Array, blend_mm: float) -> Array:
    """Unite two shapes with a rounded edge."""
    return -softmax(-a, -b, blend_mm)


def outline(y: Array, x: Array, half_y: float, half_x: Array | float, square: float) -> Array:
    """Return the radial distance to an outline: an ellipse at square 0, a superellipse of power 4 at square 1."""
    v, w = (y / half_y) ** 2, (x / half_x) ** 2
    rho = np.sqrt((1 - square) * (v + w) + square * np.sqrt(v * v + w * w)) + 1e-3
    return np.hypot(y, x) * (1 - 1 / rho)


def walk(rng: Generator, start: Point, reach: Point, steps: int, step_mm: float) -> np.ndarray:
    """Draw a smooth wandering line (steps, 3) pulled back to its start, as the mesentery holds loops of bowel."""
    turns = ndimage.gaussian_filter1d(rng.standard_normal((steps, 3)), 2.0, axis=0)
    line = np.cumsum(turns / np.linalg.norm(turns, axis=1, keepdims=True) * step_mm, axis=0)
    return np.asarray(start) + np.asarray(reach) * np.tanh((line - line.mean(0)) / np.asarray(reach))


def through(ends: np.ndarray, count: int) -> np.ndarray:
    """Return a line of count points through the ends (n, 3)."""
    along = np.linspace(0, len(ends) - 1, count)
    return np.stack([np.interp(along, range(len(ends)), column) for column in ends.T], 1)
