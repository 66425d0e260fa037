"""Lesions of version 2: tumours of irregular shape, some hardly darker than the liver, and benign cysts.

A cyst of the liver is labelled liver, as in LiTS; one of a kidney is background.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64
from numpy.random import Generator

from lightning_liver.data.phantom.canvas import Array, Box, Canvas, Patient, Point, softmax, softmin
from lightning_liver.data.phantom.liver import draw_points_inside, draw_tumour_radii

_ISODENSE = 0.2  # probability for a tumour that is not the largest
_ISODENSE_BELOW_HU = (4.0, 12.0)
_BLURRED_HU = 4.0  # that an irregular surface makes a dark tumour brighter
_CYST_HU = (0.0, 16.0)
_WITH_CYSTS = 0.45  # fraction of patients, of livers as of kidneys


class Sites(NamedTuple):
    """Points of the liver at which a lesion may grow.

    Args:
        points: in millimetres of the atlas.
        depth: below the liver's surface in millimetres.
        free: distance to the nearest lesion in millimetres.
    """

    points: Float64[np.ndarray, "n 3"]
    depth: np.ndarray
    free: np.ndarray

    def take(self, radius: float) -> tuple[Point | None, "Sites"]:
        """Return the first point with room for a lesion, or None, and the sites that remain."""
        room = np.flatnonzero((self.depth > min(0.9 * radius, 22)) & (self.free > 0.8 * radius))
        if not len(room):
            return None, self
        centre = self.points[room[0]]
        distance = np.linalg.norm(self.points - centre, axis=1) - radius
        z, y, x = centre.tolist()
        return (z, y, x), self._replace(free=np.minimum(self.free, distance))


def paint_lesions(canvas: Canvas, box: Box, distance: Array, patient: Patient, rng: Generator) -> Array:
    """Paint tumours and, clear of them, cysts into the liver; return each voxel's fraction of tumour."""
    tumours, cysts = rng.spawn(2)
    tumour = np.zeros_like(canvas.liver)
    points, depth = draw_points_inside(canvas, box, distance, tumours)
    sites = Sites(points, depth, np.full(len(points), 99.0))
    fraction = patient.tumour_fraction
    for index, radius in enumerate(draw_tumour_radii(canvas, fraction, tumours).tolist() if fraction > 0 else ()):
        centre, sites = sites.take(radius)
        if centre is not None:
            _paint_tumour(canvas, tumour, centre, radius, patient, tumours, is_largest=index == 0)
    for radius in _draw_cyst_radii(cysts).tolist():
        centre, sites = sites.take(radius)
        if centre is not None:
            where, surface = _irregular(canvas, centre, radius, 0.08, cysts)
            inside = softmax(surface, 4 - 8 * canvas.liver[where], 0.1)
            canvas.paint(where, inside, cysts.uniform(*_CYST_HU), in_liver=True)
    return tumour


def paint_renal_cysts(canvas: Canvas, kidneys: Sequence[Point], rng: Generator) -> None:
    """Paint cysts that bulge from the kidneys' outer borders."""
    for z, y, x in kidneys:
        for radius in _draw_cyst_radii(rng).tolist():
            out = np.sign(x) * rng.uniform(10, 24)
            centre = (z + rng.uniform(-35, 35), y + rng.uniform(-15, 15), x + float(out))
            where, surface = _irregular(canvas, centre, radius, 0.05, rng)
            canvas.paint(where, surface, rng.uniform(*_CYST_HU))


def _draw_cyst_radii(rng: Generator) -> Float64[np.ndarray, " n"]:
    count = int(rng.integers(1, 5)) if rng.uniform() < _WITH_CYSTS else 0
    return np.clip(rng.lognormal(np.log(6), 0.5, count), 3, 22)


def _paint_tumour(
    canvas: Canvas, tumour: Array, centre: Point, radius: float, patient: Patient, rng: Generator, *, is_largest: bool
) -> None:
    """Paint a dark, bright or isodense tumour with its rim and core; the largest one is dark."""
    where, surface = _irregular(canvas, centre, radius, rng.uniform(0.08, 0.18), rng)
    soft_mm = rng.uniform(0.5, min(3.5, radius / 3))
    part = np.clip(0.5 - surface / (soft_mm + canvas.step[2]), 0, 1) * canvas.liver[where]
    below, rim, core = _draw_contrast(patient, rng, is_largest=is_largest)
    depth = -surface / radius
    hu = patient.hu.liver - below + core * np.clip(depth, 0, 1) + rim * np.clip(1 - np.abs(4 * depth - 0.7), 0, 1)
    canvas.hu[where] += part * (hu + 4 * canvas.noise(rng, 10.0, where) - canvas.hu[where])
    tumour[where] = np.maximum(tumour[where], part)


def _draw_contrast(patient: Patient, rng: Generator, *, is_largest: bool) -> tuple[float, float, float]:
    """Draw HU below the liver's, and HU that the rim and the core have beyond that.

    All kinds are drawn, whichever is taken: a phase must not change later draws.
    """
    liver = patient.hu.liver
    dark = liver - float(np.clip(liver - rng.uniform(*patient.tumour_below_hu), *patient.tumour_hu))
    bright, faint = rng.uniform(28, 45), rng.uniform(*_ISODENSE_BELOW_HU)
    kind, rim, core = rng.uniform(), rng.uniform(-1, 1), rng.uniform(-16, 4)
    if not is_largest and kind < patient.hypervascular:
        return -bright, 0.0, core
    if not is_largest and kind < patient.hypervascular + _ISODENSE * (1 - patient.hypervascular):
        return faint, 20 * rim, core / 4
    return dark + _BLURRED_HU, 4 * rim, core


def _irregular(canvas: Canvas, centre: Point, radius: float, roughness: float, rng: Generator) -> tuple[Box, Array]:
    """Return the box and the distance to a lobulated body that has the volume of a ball.

    Args:
        radius: of the ball, in millimetres.
        roughness: standard deviation of the surface's noise, as a fraction of the radius.
    """
    radii = radius * np.exp(rng.normal(0, 0.15, 3))
    reach = 1.6 * radius + 6
    box = canvas.box(centre, (reach, reach, reach))
    surface = canvas.ellipsoid_in(box, centre, tuple(radii), rng.uniform(0, 3))
    for _ in range(int(rng.integers(0, 4))):
        way = rng.standard_normal(3)
        z, y, x = np.asarray(centre) + 0.75 * radius * way / np.linalg.norm(way)
        lobe = canvas.ellipsoid_in(box, (z, y, x), (radius * rng.uniform(0.35, 0.65),) * 3, 0.0)
        surface = softmin(surface, lobe, 0.3 * radius)
    surface = surface + roughness * radius * canvas.noise(rng, max(6.0, radius), box)
    voxels = 4.19 * radius**3 / float(np.prod(canvas.step))
    rank = min(int(voxels), surface.size - 1)
    return box, surface - np.partition(surface, rank, axis=None)[rank]
