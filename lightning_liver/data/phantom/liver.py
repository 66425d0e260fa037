"""The phantom's liver: shape, vessels, tumours."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from numpy.random import Generator

from lightning_liver.data.phantom.canvas import (
    FAT_HU,
    Array,
    Box,
    Canvas,
    Enhancement,
    Patient,
    Point,
    softmax,
    softmin,
)

LIVER_MM = (-80.0, 75.0)  # caudal tip and dome, before bending


@dataclass(frozen=True)
class Form:
    """Parameters of a liver's shape, in millimetres of the atlas unless they are slopes.

    Args:
        tilt: slope of the visceral plane beyond the atlas's.
        left: reach of the left lobe to the left.
        medial, visceral: retreat of the right lobe's planes.
        under, behind: retreat of the left lobe's lower and rear planes.
        tip: height of the caudal tip.
        relief: smooth noise on the surface, as (standard deviation, grain).
    """

    tilt: float
    left: float
    medial: float
    visceral: float
    under: float
    behind: float
    tip: float = LIVER_MM[0] + 4
    relief: tuple[tuple[float, float], ...] = ((2.0, 22.0),)


def draw_form(rng: Generator) -> Form:
    """Draw a form of version 1."""
    tilt, left = rng.normal(0, 0.06), rng.uniform(35, 92)
    medial, visceral = 12 + rng.normal(0, 5), 8 + rng.normal(0, 5)
    return Form(tilt, left, medial, visceral, under=8 + rng.normal(0, 6), behind=14 + rng.normal(0, 4))


def paint_liver(
    canvas: Canvas, cavity: Array, dome: Array, hu: Enhancement, form: Form, rng: Generator
) -> tuple[Box, Array]:
    """Paint a wedge under the right dome, cut by an oblique visceral plane, with left lobe, hilum and fissure.

    Returns:
        The box around the liver, and the distance to its surface in it.
    """
    box = canvas.box((0, 0, -25), (100, 110, 145))
    z, y, x = canvas.z[box], canvas.y[box], canvas.x[box]
    medial = 0.9 * x + 0.43 * y + form.medial
    visceral = (0.5 + form.tilt) * x - 0.85 * z - form.visceral
    right = softmax(softmax(medial, visceral, 22), form.tip - z, 8)
    under = (form.under + 0.28 * x - z) * 0.96
    behind = (y + form.behind + 0.32 * x) * 0.95
    distance = softmin(right, softmax(softmax(behind, under, 14), x - form.left, 16), 12)
    for height, grain_mm in form.relief:
        distance = distance + height * canvas.noise(rng, grain_mm, box)
    distance = softmax(softmax(distance, cavity[box] + 3, 5), dome[box] + 3, 5)
    canvas.paint(box, distance - 2, FAT_HU)
    for centre, radii in (((4, -18, -14), (13, 11, 26)), ((6, -72, 17), (30, 30, 3 + rng.uniform(0, 3)))):
        distance = softmax(distance, -canvas.ellipsoid_in(box, centre, radii, 0.0), 3)
    canvas.liver[box] = canvas.paint(box, distance, hu.liver + 2.5 * canvas.noise(rng, 18.0, box))
    return box, distance


def _grow_tree(root: Point, targets: np.ndarray, trunk_mm: float) -> tuple[np.ndarray, np.ndarray]:
    """Grow vessels from root to targets (n, 3), each from the nearest node; radii near Murray's law, flow^(1/3)."""
    nodes, parent = [np.asarray(root, float)], [0]
    for target in targets[np.argsort(np.linalg.norm(targets - nodes[0], axis=1))]:
        nearest = int(np.argmin(np.linalg.norm(np.asarray(nodes) - target, axis=1)))
        for step in np.linspace(0, 1, 4)[1:]:
            nodes.append(nodes[nearest] + step * (target - nodes[nearest]))
            parent.append(nearest if step < 0.5 else len(nodes) - 2)
    flow = np.zeros(len(nodes))
    leaves = np.setdiff1d(np.arange(len(nodes)), parent)
    for node in leaves:
        while node:
            flow[node] += 1
            node = parent[node]
    start, end = np.asarray(nodes)[np.asarray(parent)[1:]], np.asarray(nodes)[1:]
    steps = np.linspace(0, 1, 6)[:, None, None]
    radii = trunk_mm * (flow[1:] / len(leaves)) ** 0.3
    return (start + steps * (end - start)).reshape(-1, 3), np.tile(radii, 6)


def draw_points_inside(canvas: Canvas, box: Box, distance: Array, rng: Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw random points of the liver (n, 3); return them with their depth below its surface in millimetres (n,)."""
    points = rng.uniform((-85, -110, -160), (85, 80, 100), (4000, 3))
    index = canvas.nearest(points)
    inner = [np.clip(i - s.start, 0, n - 1) for i, s, n in zip(index, box, distance.shape, strict=True)]
    depth = np.where(canvas.liver[index] > 0.5, -distance[tuple(inner)], -1)
    return (points + canvas.bend(points))[depth > 0], depth[depth > 0]


def paint_vessels(canvas: Canvas, box: Box, distance: Array, hu: Enhancement, rng: Generator) -> None:
    """Paint the portal tree from the hilum, hepatic veins from the dome; both count as liver, as in most LiTS masks."""
    for root, trunk_mm, value in (((4, -14, -12), 6.5, hu.vein), ((56, 14, -18), 6.0, 0.7 * hu.vein + 0.3 * hu.liver)):
        points, depth = draw_points_inside(canvas, box, distance, rng)
        points, radii = _grow_tree(root, points[depth > 5][:60], trunk_mm)
        where, vessels = canvas.tube(points, radii, 2.0)
        canvas.paint(where, vessels, value, in_liver=True)


def draw_tumour_radii(canvas: Canvas, tumour_fraction: float, rng: Generator) -> Float64[np.ndarray, " n"]:
    """Draw the radii of up to 20 tumours in millimetres, largest first, log-normal in total volume."""
    volume_mm3 = (
        np.clip(rng.lognormal(np.log(tumour_fraction), 1.3), 0.001, 0.3) * canvas.liver.sum() * np.prod(canvas.step)
    )
    radii = np.sort(rng.lognormal(0, 0.45, int(np.clip(rng.lognormal(np.log(3.5), 0.9), 1, 20))))[::-1]
    radii = np.maximum(radii * (volume_mm3 / (4.19 * (radii**3).sum())) ** (1 / 3), 2.5)
    radii[0] = max(radii[0], 6.5)
    return radii


def paint_tumours(canvas: Canvas, tumour: Array, box: Box, distance: Array, patient: Patient, rng: Generator) -> None:
    """Paint up to 20 tumours, log-normal in total volume; the largest is dark and at least 13 mm wide."""
    radii = draw_tumour_radii(canvas, patient.tumour_fraction, rng)
    points, depth = draw_points_inside(canvas, box, distance, rng)
    free = np.full(len(points), 99.0)  # distance to the nearest tumour's surface
    for index, radius in enumerate(radii.tolist()):
        room = np.flatnonzero((depth > min(0.7 * radius, 22)) & (free > 0.8 * radius))
        bright = rng.uniform() < patient.hypervascular and index > 0
        dark = float(np.clip(patient.hu.liver - rng.uniform(*patient.tumour_below_hu), *patient.tumour_hu))
        hu = patient.hu.liver + rng.uniform(28, 45) if bright else dark
        if len(room):
            centre = points[room[0]]
            _paint_tumour(canvas, tumour, centre, radius, hu, rng)
            free = np.minimum(free, np.linalg.norm(points - centre, axis=1) - radius)


def _paint_tumour(canvas: Canvas, tumour: Array, centre: np.ndarray, radius: float, hu: float, rng: Generator) -> None:
    radii = radius * rng.uniform(0.85, 1.15, 3)
    box, f = canvas.ellipsoid(tuple(centre), tuple(radii), turn=rng.uniform(0, 3))
    f = f + 0.1 * radius * canvas.noise(rng, max(8.0, radius), box)
    soft_mm = rng.uniform(0.5, min(3.5, radius / 2))
    part = np.clip(0.5 - f / (soft_mm + canvas.step[2]), 0, 1) * canvas.liver[box]
    core = rng.uniform(-12, 4) * np.clip(-f / radius, 0, 1)
    canvas.hu[box] += part * (hu + core + 4 * canvas.noise(rng, 10.0, box) - canvas.hu[box])
    tumour[box] = np.maximum(tumour[box], part)
