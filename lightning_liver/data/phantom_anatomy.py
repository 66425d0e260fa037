"""The shapes of the phantom: an abdomen of signed distances, drawn in the millimetres of one atlas.

Coordinates are LPS: x to the patient's left, y to the back, z to the head, origin before the first lumbar vertebra.
A patient is the atlas scaled and bent by a smooth random displacement, so neighbours stay neighbours. A shape is a
function that is negative inside and grows by about 1 per millimetre; distance over voxel size gives the partial volume.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float32, UInt8
from numpy.random import Generator
from scipy import ndimage

Array = Float32[np.ndarray, "_ _ _"]  # (z, y, x) of the canvas or of a box in it
Box = tuple[slice, slice, slice]
Point = tuple[float, float, float]  # atlas millimetres, (z, y, x)

LIVER_MM = (-80.0, 75.0)  # caudal tip and dome, before bending
TRUNK_MM = (112.0, 163.0)  # half depth and half width of the muscles' outline; subcutaneous fat comes on top
_FAT_HU = -102.0
_COLON = (  # transverse, descending, ascending
    ((-70.0, -38.0, -105.0), (-45.0, -62.0, -70.0), (-30.0, -78.0, 0.0), (0.0, -68.0, 70.0), (25.0, -30.0, 112.0)),
    ((25.0, -20.0, 118.0), (-20.0, 10.0, 122.0), (-120.0, 25.0, 125.0)),
    ((-60.0, 15.0, -118.0), (-130.0, 25.0, -120.0)),
)


@dataclass(frozen=True)
class Enhancement:
    """HU of what contrast medium brightens."""

    liver: float
    spleen: float
    artery: float
    vein: float
    cortex: float
    medulla: float
    gut: float
    muscle: float


@dataclass(frozen=True)
class Patient:
    """What makes one body different from the next, beside its random streams.

    Args:
        scale: size relative to the atlas along z, y, x.
        fat_mm: mean thickness of subcutaneous fat.
        tumours: whether the liver has any.
        hypervascular: probability that a tumour, other than the largest, is brighter than the liver.
    """

    scale: Point
    fat_mm: float
    tumours: bool
    hypervascular: float
    hu: Enhancement


class Canvas:
    """HU and liver fraction of every voxel, painted from the back to the front."""

    def __init__(self, axes_mm: Sequence[np.ndarray], scale: Point, rng: Generator) -> None:
        self.axes = [(a / s).astype(np.float32) for a, s in zip(axes_mm, scale, strict=True)]
        self.shape = tuple(len(a) for a in self.axes)
        self.step = [float(a[1] - a[0]) for a in self.axes]
        bend = [self.noise(rng, 75.0) * mm for mm in (2.5, 3.5, 4.0)]
        self.z, self.y, self.x = (b + a for b, a in zip(bend, np.ix_(*self.axes), strict=True))
        self.hu = np.full(self.shape, -1000.0, np.float32)
        self.liver = np.zeros(self.shape, np.float32)

    def noise(self, rng: Generator, grain_mm: float, box: Box | None = None) -> Array:
        """Smooth Gaussian field of mean 0 and standard deviation 1; the same in millimetres for every matrix."""
        spans = [slice(None)] * 3 if box is None else box
        axes = [a[s] for a, s in zip(self.axes, spans, strict=True)]
        coarse = [max(2, round(float(np.ptp(a)) / grain_mm)) + 2 for a in axes]
        field = rng.standard_normal(coarse, np.float32)
        field = ndimage.zoom(field, (len(axes[0]) / coarse[0], 1, 1), order=2, mode="nearest", grid_mode=True)
        size = (len(axes[2]), len(axes[1]))
        fine = np.stack([cv2.resize(plane, size, interpolation=cv2.INTER_CUBIC) for plane in field])
        return fine / fine.std()

    def box(self, centre: Point, reach: Point) -> Box:
        """The voxels within reach of a point, and at least one."""
        edges = [np.searchsorted(a, (c - r, c + r)) for a, c, r in zip(self.axes, centre, reach, strict=True)]
        return tuple(  # type: ignore[return-value]
            slice(min(int(lo), n - 1), max(int(hi), min(int(lo), n - 1) + 1))
            for (lo, hi), n in zip(edges, self.shape, strict=True)
        )

    def coverage(self, distance: Array) -> Array:
        """Part of each voxel inside a shape: a ramp as wide as the voxel is along the surface's normal."""
        width = np.abs(np.gradient(distance, axis=0)) if len(distance) > 1 else np.zeros_like(distance)
        width += self.step[2]
        return np.clip(0.5 - distance / width, 0, 1)

    def paint(self, box: Box, distance: Array, hu: Array | float, *, in_liver: bool = False) -> Array:
        """Blend a shape over what is there; unless it belongs to the liver, it takes the liver's place."""
        part = self.coverage(distance)
        self.hu[box] += part * (hu - self.hu[box])
        if not in_liver:
            self.liver[box] *= 1 - part
        return part

    def ellipsoid(self, centre: Point, radii: Point, *, turn: float) -> tuple[Box, Array]:
        """Distance to an ellipsoid turned about z by radians, and the box in which it lies."""
        reach = max(radii[1:]) + 16 if turn else 0.0
        box = self.box(centre, (radii[0] + 14, reach or radii[1] + 16, reach or radii[2] + 16))
        return box, self.ellipsoid_in(box, centre, radii, turn)

    def ellipsoid_in(self, box: Box, centre: Point, radii: Point, turn: float) -> Array:
        """First-order distance to an ellipsoid, by Quilez (iquilezles.org/articles/ellipsoids)."""
        z, y, x = (axis[box] - float(c) for axis, c in zip((self.z, self.y, self.x), centre, strict=True))
        cos, sin = float(np.cos(turn)), float(np.sin(turn))
        y, x = (y * cos - x * sin, y * sin + x * cos) if turn else (y, x)
        a, b, c = (float(radius) for radius in radii)
        u, v, w = z / a, y / b, x / c
        k0 = np.sqrt(u * u + v * v + w * w)
        k1 = np.sqrt((u / a) ** 2 + (v / b) ** 2 + (w / c) ** 2)
        return k0 * (k0 - 1) / (k1 + 1e-6)

    def tube(self, points: np.ndarray, radii: np.ndarray, rim_mm: float) -> tuple[Box, Array]:
        """Distance to the union of balls along a line (n, 3), trusted up to rim_mm outside."""
        points = points - self.bend(points)  # one fixed-point step is enough, the bending is slow
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
        """Indices of the voxels at points (n, 3) of the unbent axes."""
        each = zip(self.axes, points.T, self.step, strict=True)
        return tuple(np.searchsorted(a, p - step / 2).clip(0, len(a) - 1) for a, p, step in each)

    def bend(self, points: np.ndarray) -> np.ndarray:
        """How far the patient's bending moves the anatomy at points (n, 3) of the unbent axes."""
        index = self.nearest(points)
        bent = np.stack([axis[index] for axis in (self.z, self.y, self.x)], 1)
        return bent - np.stack([a[i] for a, i in zip(self.axes, index, strict=True)], 1)


def draw(axes_mm: Sequence[np.ndarray], patient: Patient, rng: Generator) -> tuple[Array, UInt8[np.ndarray, "z y x"]]:
    """Noiseless HU and labels (0 background, 1 liver, 2 tumour) at the voxel centres given along z, y and x."""
    trunk, abdomen, thorax, gut, solid, liver, vessels, tumours = rng.spawn(8)
    canvas = Canvas(axes_mm, patient.scale, trunk)
    cavity = _trunk(canvas, patient, trunk)
    dome = _dome(canvas)
    _thorax(canvas, cavity, dome, patient.hu, thorax)
    _gut(canvas, _softmax(cavity, dome + 2, 2), patient.hu, gut)
    _left_organs(canvas, cavity, dome, patient.hu, solid)
    box, distance = _liver(canvas, cavity, dome, patient.hu, liver)
    _behind_liver(canvas, patient.hu, abdomen)
    _liver_vessels(canvas, box, distance, patient.hu, vessels)
    tumour = np.zeros_like(canvas.liver)
    if patient.tumours:
        _tumours(canvas, tumour, box, distance, patient, tumours)
    labels = (canvas.liver > 0.5).astype(np.uint8)
    labels[tumour > 0.5] = 2
    return canvas.hu, labels


def _softmax(a: Array, b: Array, blend_mm: float) -> Array:
    """Intersection of two shapes with a rounded edge."""
    difference = a - b
    return (a + b + np.sqrt(difference * difference + blend_mm**2)) * 0.5


def _softmin(a: Array, b: Array, blend_mm: float) -> Array:
    return -_softmax(-a, -b, blend_mm)


def _outline(y: Array, x: Array, half_y: float, half_x: Array | float, square: float) -> Array:
    """Radial distance to a rounded outline: an ellipse at square 0, a superellipse of power 4 at square 1."""
    v, w = (y / half_y) ** 2, (x / half_x) ** 2
    rho = np.sqrt((1 - square) * (v + w) + square * np.sqrt(v * v + w * w)) + 1e-3
    return np.hypot(y, x) * (1 - 1 / rho)


def _trunk(canvas: Canvas, patient: Patient, rng: Generator) -> Array:
    """Table, skin, fat, muscle, spine and ribs; returns the distance to the peritoneal and pleural cavity."""
    everything = (slice(None),) * 3
    lumps = canvas.noise(rng, 60.0)
    muscle = _outline(canvas.y - 2, canvas.x, *TRUNK_MM, 0.45)
    cavity = _outline(canvas.y + 14, canvas.x, 90, 148, 0.4)
    fat_mm = patient.fat_mm * (1 + 0.12 * lumps - canvas.y * 0.003)
    _table(canvas, patient.fat_mm, rng)
    grain = canvas.noise(rng, 7.0)
    skin = muscle - np.maximum(fat_mm, 4)
    canvas.paint(everything, skin, 10.0)
    canvas.paint(everything, skin + 2.5, _FAT_HU + 5 * grain)
    sinew = 90 * np.clip(grain + 0.35 * lumps - 1.7, 0, 1)
    canvas.paint(everything, muscle, patient.hu.muscle + 4 * lumps - sinew)
    layers = np.abs(np.maximum(muscle + 6 + lumps, 13 - cavity) + 1) - 1 - 0.03 * np.maximum(canvas.y, 0)
    canvas.paint(everything, layers, _FAT_HU + 30 + 20 * grain)
    mesentery = 140 * np.clip(grain + 0.5 * lumps - 1.35, 0, 1)
    canvas.paint(everything, cavity, _FAT_HU + 4 * lumps + mesentery)
    _ribs(canvas, cavity, muscle, grain)
    _spine(canvas, grain, lumps, patient.hu.muscle)
    column = _outline(canvas.y - 70, canvas.x, 42, 30 + 0.25 * np.maximum(canvas.y - 40, 0), 0.2)
    return _softmax(cavity, 2 - column, 4)


def _table(canvas: Canvas, fat_mm: float, rng: Generator) -> None:
    y, x = np.meshgrid(canvas.axes[1], canvas.axes[2], indexing="ij")
    top = TRUNK_MM[0] + fat_mm + rng.uniform(8, 14)
    sag, gap = rng.uniform(0.0003, 0.001), rng.uniform(18, 32)
    for depth, hu in ((top, rng.uniform(-300, 200)), (top + gap, rng.uniform(-600, -200))):
        part = np.clip(0.5 - (np.abs(y - depth + sag * x * x) - 1.2) / canvas.step[1], 0, 1)
        canvas.hu += (part * (hu + 1000)).astype(np.float32)


def _spine(canvas: Canvas, grain: Array, lumps: Array, muscle: float) -> None:
    for side in (-1, 1):
        for centre, radii in (((0, 84, 34 * side), (900, 24, 29)), ((-70, 62, 44 * side), (75, 19, 17))):
            box, distance = canvas.ellipsoid(centre, radii, turn=0.0)
            distance = distance + 2 * lumps[box]
            canvas.paint(box, distance - 1, _FAT_HU + 60)
            canvas.paint(box, distance, muscle - 100 * np.clip(grain[box] + 0.6 * lumps[box] - 1.2, 0, 1))
    box = canvas.box((0, 70, 0), (900, 55, 60))
    z, y, x, fine = canvas.z[box], canvas.y[box], canvas.x[box], grain[box]
    level = np.abs(((z / 31) % 1) - 0.5) * 31  # 0 in the middle of a vertebra, 15.5 in that of a disc
    body = _outline(y - 47, x, 17, 22 + np.clip(level - 8, 0, 4) * 0.5, 0.3)
    arch = np.minimum(_outline(y - 74, x, 14, 17, 0.2), _outline(y - 92, x, 17, 4, 0.3))
    wings = _softmax(np.abs(y - 76 + np.abs(x) * 0.1) - 4.5, np.abs(x) - 38, 3)
    arch = _softmin(arch, _softmax(wings, level - 7, 3), 4)
    canvas.paint(box, arch, 330 + 90 * fine + 250 * np.clip(1 + arch / 4, 0, 1))
    bone = 190 + 45 * fine + 330 * np.clip(1 + body / 2.5, 0, 1)
    canvas.paint(box, body, np.where(level > 12, 85, bone))
    canvas.paint(box, _outline(y - 72, x, 9, 11, 0.1), 25.0)


def _ribs(canvas: Canvas, cavity: Array, muscle: Array, grain: Array) -> None:
    """Ribs run in the wall, down from the spine to the front, and end in cartilage and the sternum."""
    margin = (canvas.z > -62 + 75 * np.clip(-canvas.y / 90, -0.2, 1)) & (cavity < 13) & (cavity > -3)
    wall = np.flatnonzero(margin & (np.abs(canvas.x) > 12))
    z, y, x, depth, fine = (a.ravel()[wall] for a in (canvas.z, canvas.y, canvas.x, cavity, grain))
    turn = ((z - 0.62 * y + 0.35 * np.abs(x)) / 30) % 1 - 0.5
    distance = np.hypot((depth - 5) * np.float32(1.35), turn * 25) - 6
    cartilage = np.clip((np.abs(x) * 0.9 + y + 15) / 10, 0, 1)
    bone = 140 + 70 * fine + 480 * np.clip(1 + distance / 2, 0, 1)
    part = np.clip(0.5 - distance / (2 * canvas.step[2]), 0, 1)
    part *= muscle.ravel()[wall] < -2
    flat = canvas.hu.reshape(-1)
    flat[wall] += part * (100 + cartilage * (bone - 100) - flat[wall])


def _dome(canvas: Canvas) -> Array:
    """Height above the diaphragm: three paraboloids over the recess, which is deeper behind."""
    z, y, x = canvas.z, canvas.y, canvas.x
    top = LIVER_MM[1] + 4
    recess = top - 70 - 45 * np.clip((y + 40) / 100, 0, 1)
    height = recess
    for cy, cx, drop, narrow in ((-8, -74, 0, 165), (-2, 78, 14, 150), (-42, 8, 28, 90)):
        height = np.maximum(height, top - drop - ((y - cy) ** 2 + (x - cx) ** 2) / narrow)
    return z - height


def _thorax(canvas: Canvas, cavity: Array, dome: Array, hu: Enhancement, rng: Generator) -> None:
    box = canvas.box((110, 0, 0), (190, 400, 400))
    inside = np.maximum(cavity[box] + 1, -dome[box])
    bronchi = canvas.noise(rng, 6.0, box)
    canvas.paint(box, inside, -865 + 800 * np.clip(1.6 * (bronchi - 1.6), 0, 1))
    hilum, walls = canvas.ellipsoid((95, 42, 8), (75, 26, 26), turn=0.0)
    canvas.paint(hilum, np.maximum(walls, cavity[hilum] + 1), _FAT_HU + 20)
    centre, radii = (LIVER_MM[1] + 22, -38 + rng.normal(0, 5), 22 + rng.normal(0, 6)), (46, 50, 62)
    sac, heart = canvas.ellipsoid(centre, radii, turn=0.5)
    heart = np.maximum(heart, cavity[sac] + 3)
    canvas.paint(sac, heart - 5, _FAT_HU)
    canvas.paint(sac, heart, 0.4 * hu.artery + 60 + 6 * canvas.noise(rng, 12.0, sac))
    for shift in ((0, 14, 18), (2, -14, -14)):
        blood = canvas.ellipsoid(tuple(np.add(centre, shift)), (27, 20, 29), turn=0.5)
        canvas.paint(blood[0], np.maximum(blood[1], cavity[blood[0]] + 3), 0.5 * (hu.artery + hu.vein))


def _walk(rng: Generator, start: Point, reach: Point, steps: int, step_mm: float) -> np.ndarray:
    """A smooth wandering line (steps, 3) pulled back to its start, as loops of bowel hang on their mesentery."""
    turns = ndimage.gaussian_filter1d(rng.standard_normal((steps, 3)), 2.0, axis=0)
    line = np.cumsum(turns / np.linalg.norm(turns, axis=1, keepdims=True) * step_mm, axis=0)
    return np.asarray(start) + np.asarray(reach) * np.tanh((line - line.mean(0)) / np.asarray(reach))


def _through(ends: np.ndarray, count: int) -> np.ndarray:
    """A line of count points through the ends (n, 3)."""
    along = np.linspace(0, len(ends) - 1, count)
    return np.stack([np.interp(along, range(len(ends)), column) for column in ends.T], 1)


def _gut(canvas: Canvas, cavity: Array, hu: Enhancement, rng: Generator) -> None:
    """Small bowel, colon and stomach, with gas in front and food, water or positive contrast behind."""
    oral = float(rng.choice((20.0, rng.uniform(60, 130), 260.0), p=(0.3, 0.5, 0.2)))
    for _ in range(52):
        start = (rng.uniform(-150, -10), rng.uniform(-85, 20), rng.uniform(-95, 100))
        line = _walk(rng, start, (18, 22, 38), 18, 6.0)
        box, f = canvas.tube(line, np.full(18, rng.uniform(9, 15)), 4.0)
        f = np.maximum(f, cavity[box] + 2)
        canvas.paint(box, f, hu.gut)
        filling = float(rng.choice((hu.gut, 25.0, oral, -300.0), p=(0.7, 0.1, 0.13, 0.07)))
        canvas.paint(box, f + 3, filling + 10 * canvas.noise(rng, 9.0, box))
    for ends in _COLON:
        _colon(canvas, cavity, np.array(ends), rng)
    _stomach(canvas, cavity, hu, oral, rng)


def _colon(canvas: Canvas, cavity: Array, ends: np.ndarray, rng: Generator) -> None:
    ends = ends + rng.normal(0, 8, ends.shape)
    line = _through(ends, 14 * len(ends))
    radii = rng.uniform(16, 22) + 3 * np.sin(np.arange(len(line)) * 1.4)
    box, f = canvas.tube(line, radii, 4.0)
    f = np.maximum(f, cavity[box] + 2)
    gas = canvas.noise(rng, 7.0, box) + 2 * canvas.noise(rng, 45.0, box) - 0.8
    canvas.paint(box, f, 55.0)
    canvas.paint(box, f + 2.5, rng.uniform(40, 110) - 600 * np.clip(gas, 0, 1.4))


def _stomach(canvas: Canvas, cavity: Array, hu: Enhancement, oral: float, rng: Generator) -> None:
    centre, radii = (26 + rng.normal(0, 6), -22, 58), np.multiply((46, 36, 32), rng.uniform(0.7, 1.1))
    box, fundus = canvas.ellipsoid(centre, tuple(radii), turn=0.3)
    line = np.linspace((18, -42, 50), (-18, -48, -8), 12) + rng.normal(0, 2, 3)
    span, antrum = canvas.tube(line, np.linspace(24, 13, 12), 20.0)
    for where, f in ((span, antrum), (box, fundus)):
        f = np.maximum(f, cavity[where] + 2) + 1.5 * canvas.noise(rng, 14.0, where)
        canvas.paint(where, f, hu.gut)
        level = canvas.y[where] - (centre[1] - rng.uniform(-5, 22))
        filling = np.where(level < 0, -950, oral + 12 * canvas.noise(rng, 10.0, where))
        canvas.paint(where, f + 4.5, filling)


def _left_organs(canvas: Canvas, cavity: Array, dome: Array, hu: Enhancement, rng: Generator) -> None:
    size = rng.uniform(0.9, 1.3)
    box, spleen = canvas.ellipsoid((22, 34, 112), (50 * size, 46 * size, 30 * size), turn=-0.5)
    spleen = np.maximum(_softmax(spleen, cavity[box] + 3, 3), dome[box] + 3)
    mottle = max(0.0, hu.artery - 200) * 0.2 * canvas.noise(rng, 14.0, box)
    canvas.paint(box, spleen - 1.5, _FAT_HU)
    canvas.paint(box, spleen, hu.spleen + mottle)
    line = np.array([(-22, -22, -28), (-30, -10, -25), (-14, -26, 2), (-2, -6, 30), (4, 14, 62), (10, 24, 80)])
    line = _through(line, 40)
    box, pancreas = canvas.tube(line, np.linspace(13, 9, 40), 4.0)
    canvas.paint(box, pancreas + 1.5 * canvas.noise(rng, 8.0, box), 0.6 * hu.spleen + 0.4 * hu.muscle)
    box, vein = canvas.tube(line[12:] + np.array((3, 9, 0)), np.linspace(5.5, 4, 28), 3.0)
    canvas.paint(box, vein, hu.vein)


def _liver(canvas: Canvas, cavity: Array, dome: Array, hu: Enhancement, rng: Generator) -> tuple[Box, Array]:
    """A wedge under the right dome, cut by an oblique visceral plane; a left lobe of varying length, hilum, fissure."""
    box = canvas.box((0, 0, -25), (100, 110, 145))
    z, y, x = canvas.z[box], canvas.y[box], canvas.x[box]
    tilt, left = rng.normal(0, 0.06), rng.uniform(35, 92)
    medial = 0.9 * x + 0.43 * y + (12 + rng.normal(0, 5))
    visceral = (0.5 + tilt) * x - 0.85 * z - (8 + rng.normal(0, 5))
    right = _softmax(_softmax(medial, visceral, 22), LIVER_MM[0] + 4 - z, 8)
    under = (8 + rng.normal(0, 6) + 0.28 * x - z) * 0.96
    behind = (y + (14 + rng.normal(0, 4)) + 0.32 * x) * 0.95
    distance = _softmin(right, _softmax(_softmax(behind, under, 14), x - left, 16), 12)
    distance = distance + 2 * canvas.noise(rng, 22.0, box)
    distance = _softmax(_softmax(distance, cavity[box] + 3, 5), dome[box] + 3, 5)
    canvas.paint(box, distance - 2, _FAT_HU)
    for centre, radii in (((4, -18, -14), (13, 11, 26)), ((6, -72, 17), (30, 30, 3 + rng.uniform(0, 3)))):
        distance = _softmax(distance, -canvas.ellipsoid_in(box, centre, radii, 0.0), 3)
    canvas.liver[box] = canvas.paint(box, distance, hu.liver + 2.5 * canvas.noise(rng, 18.0, box))
    return box, distance


def _behind_liver(canvas: Canvas, hu: Enhancement, rng: Generator) -> None:
    """Kidneys, great vessels and gallbladder, which press into the liver."""
    for x, z in ((-56, -58), (62, -38)):
        centre, size = (z + rng.normal(0, 5), 43 + rng.normal(0, 3), x), rng.uniform(0.9, 1.1)
        box, kidney = canvas.ellipsoid(centre, (54 * size, 28 * size, 27 * size), turn=0.5 if x < 0 else -0.5)
        canvas.paint(box, kidney - 5, _FAT_HU)
        pyramids = np.clip(0.5 + canvas.noise(rng, 11.0, box), 0, 1) * (kidney < -7)
        canvas.paint(box, kidney, hu.cortex + pyramids * (hu.medulla - hu.cortex))
        canvas.paint(*canvas.ellipsoid((centre[0], 35, x * 0.74), (24, 9, 14), turn=0.0), _FAT_HU)
    bladder = tuple(np.multiply((30, 27, 13), rng.uniform(0.7, 1.1)))
    box, gall = canvas.ellipsoid((-28, -50, -30 + rng.normal(0, 4)), bladder, turn=0.4)
    canvas.paint(box, gall - 2, hu.gut)
    canvas.paint(box, gall, rng.uniform(2, 18))
    canvas.paint(*canvas.ellipsoid((0, 24, 10), (900, 14, 14), turn=0.0), _FAT_HU)
    for (y, x), radius, value in (((24, 10), 11, hu.artery), ((20, -18), 11.5, 0.5 * (hu.vein + hu.liver))):
        canvas.paint(*canvas.ellipsoid((0, y, x), (900, radius, radius), turn=0.0), value)
    canvas.paint(*canvas.ellipsoid((20, 27, -3), (70, 12, 4), turn=0.0), hu.muscle)  # crus of the diaphragm


def _tree(root: Point, targets: np.ndarray, trunk_mm: float) -> tuple[np.ndarray, np.ndarray]:
    """Vessels from root to targets (n, 3), each joining the nearest node; radii nearly by Murray's law, flow^(1/3)."""
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


def _inside(canvas: Canvas, box: Box, distance: Array, rng: Generator) -> tuple[np.ndarray, np.ndarray]:
    """Random points of the liver (n, 3) and how deep below its surface they lie, in millimetres (n,)."""
    points = rng.uniform((-85, -110, -160), (85, 80, 100), (4000, 3))
    index = canvas.nearest(points)
    inner = [np.clip(i - s.start, 0, n - 1) for i, s, n in zip(index, box, distance.shape, strict=True)]
    depth = np.where(canvas.liver[index] > 0.5, -distance[tuple(inner)], -1)
    return (points + canvas.bend(points))[depth > 0], depth[depth > 0]


def _liver_vessels(canvas: Canvas, box: Box, distance: Array, hu: Enhancement, rng: Generator) -> None:
    """Portal tree from the hilum, hepatic veins from the dome; they count as liver, as most LiTS masks have it."""
    for root, trunk_mm, value in (((4, -14, -12), 6.5, hu.vein), ((56, 14, -18), 6.0, 0.7 * hu.vein + 0.3 * hu.liver)):
        points, depth = _inside(canvas, box, distance, rng)
        points, radii = _tree(root, points[depth > 5][:60], trunk_mm)
        where, vessels = canvas.tube(points, radii, 2.0)
        canvas.paint(where, vessels, value, in_liver=True)


def _tumours(canvas: Canvas, tumour: Array, box: Box, distance: Array, patient: Patient, rng: Generator) -> None:
    """Up to 20 tumours that share a log-normal part of the liver; the largest is dark and at least 13 mm wide."""
    share = np.clip(rng.lognormal(np.log(0.012), 1.3), 0.001, 0.3) * canvas.liver.sum() * np.prod(canvas.step)
    radii = np.sort(rng.lognormal(0, 0.45, int(np.clip(rng.lognormal(np.log(3.5), 0.9), 1, 20))))[::-1]
    radii = np.maximum(radii * (share / (4.19 * (radii**3).sum())) ** (1 / 3), 2.5)
    radii[0] = max(radii[0], 6.5)
    points, depth = _inside(canvas, box, distance, rng)
    free = np.full(len(points), 99.0)  # from the nearest tumour's surface
    for index, radius in enumerate(radii.tolist()):
        room = np.flatnonzero((depth > min(0.7 * radius, 22)) & (free > 0.8 * radius))
        bright = rng.uniform() < patient.hypervascular and index > 0
        dark = float(np.clip(patient.hu.liver - rng.uniform(34, 62), 33, 64))
        hu = patient.hu.liver + rng.uniform(28, 45) if bright else dark
        if len(room):
            centre = points[room[0]]
            _tumour(canvas, tumour, centre, radius, hu, rng)
            free = np.minimum(free, np.linalg.norm(points - centre, axis=1) - radius)


def _tumour(canvas: Canvas, tumour: Array, centre: np.ndarray, radius: float, hu: float, rng: Generator) -> None:
    radii = radius * rng.uniform(0.85, 1.15, 3)
    box, f = canvas.ellipsoid(tuple(centre), tuple(radii), turn=rng.uniform(0, 3))
    f = f + 0.1 * radius * canvas.noise(rng, max(8.0, radius), box)
    soft_mm = rng.uniform(0.5, min(3.5, radius / 2))
    part = np.clip(0.5 - f / (soft_mm + canvas.step[2]), 0, 1) * canvas.liver[box]
    core = rng.uniform(-12, 4) * np.clip(-f / radius, 0, 1)
    canvas.hu[box] += part * (hu + core + 4 * canvas.noise(rng, 10.0, box) - canvas.hu[box])
    tumour[box] = np.maximum(tumour[box], part)
