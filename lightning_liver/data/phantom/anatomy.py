"""The phantom's abdomen around its liver, in the coordinates of canvas.py."""

import numpy as np
from numpy.random import Generator

from lightning_liver.data.phantom.canvas import (
    FAT_HU,
    Array,
    Canvas,
    Enhancement,
    Patient,
    Point,
    outline,
    softmax,
    softmin,
    through,
    walk,
)
from lightning_liver.data.phantom.liver import LIVER_MM

TRUNK_MM = (112.0, 163.0)  # half depth and half width of the muscles' outline, without subcutaneous fat
_COLON = (  # transverse, descending, ascending
    ((-70.0, -38.0, -105.0), (-45.0, -62.0, -70.0), (-30.0, -78.0, 0.0), (0.0, -68.0, 70.0), (25.0, -30.0, 112.0)),
    ((25.0, -20.0, 118.0), (-20.0, 10.0, 122.0), (-120.0, 25.0, 125.0)),
    ((-60.0, 15.0, -118.0), (-130.0, 25.0, -120.0)),
)


def paint_trunk(canvas: Canvas, patient: Patient, rng: Generator) -> Array:
    """Paint table, skin, fat, muscle, spine and ribs; return the distance to the peritoneal and pleural cavity."""
    everything = (slice(None),) * 3
    lumps = canvas.noise(rng, 60.0)
    muscle = outline(canvas.y - 2, canvas.x, *TRUNK_MM, 0.45)
    cavity = outline(canvas.y + 14, canvas.x, 90, 148, 0.4)
    fat_mm = patient.fat_mm * (1 + 0.12 * lumps - canvas.y * 0.003)
    _paint_table(canvas, patient.fat_mm, rng)
    grain = canvas.noise(rng, 7.0)
    skin = muscle - np.maximum(fat_mm, 4)
    canvas.paint(everything, skin, 10.0)
    canvas.paint(everything, skin + 2.5, FAT_HU + 5 * grain)
    sinew = 90 * np.clip(grain + 0.35 * lumps - 1.7, 0, 1)
    canvas.paint(everything, muscle, patient.hu.muscle + 4 * lumps - sinew)
    layers = np.abs(np.maximum(muscle + 6 + lumps, 13 - cavity) + 1) - 1 - 0.03 * np.maximum(canvas.y, 0)
    canvas.paint(everything, layers, FAT_HU + 30 + 20 * grain)
    mesentery = 140 * np.clip(grain + 0.5 * lumps - 1.35, 0, 1)
    canvas.paint(everything, cavity, FAT_HU + 4 * lumps + mesentery)
    _paint_ribs(canvas, cavity, muscle, grain)
    _paint_spine(canvas, grain, lumps, patient.hu.muscle)
    column = outline(canvas.y - 70, canvas.x, 42, 30 + 0.25 * np.maximum(canvas.y - 40, 0), 0.2)
    return softmax(cavity, 2 - column, 4)


def _paint_table(canvas: Canvas, fat_mm: float, rng: Generator) -> None:
    y, x = np.meshgrid(canvas.axes[1], canvas.axes[2], indexing="ij")
    top = TRUNK_MM[0] + fat_mm + rng.uniform(8, 14)
    sag, gap = rng.uniform(0.0003, 0.001), rng.uniform(18, 32)
    for depth, hu in ((top, rng.uniform(-300, 200)), (top + gap, rng.uniform(-600, -200))):
        part = np.clip(0.5 - (np.abs(y - depth + sag * x * x) - 1.2) / canvas.step[1], 0, 1)
        canvas.hu += (part * (hu + 1000)).astype(np.float32)


def _paint_spine(canvas: Canvas, grain: Array, lumps: Array, muscle: float) -> None:
    for side in (-1, 1):
        for centre, radii in (((0, 84, 34 * side), (900, 24, 29)), ((-70, 62, 44 * side), (75, 19, 17))):
            box, distance = canvas.ellipsoid(centre, radii, turn=0.0)
            distance = distance + 2 * lumps[box]
            canvas.paint(box, distance - 1, FAT_HU + 60)
            canvas.paint(box, distance, muscle - 100 * np.clip(grain[box] + 0.6 * lumps[box] - 1.2, 0, 1))
    box = canvas.box((0, 70, 0), (900, 55, 60))
    z, y, x, fine = canvas.z[box], canvas.y[box], canvas.x[box], grain[box]
    level = np.abs(((z / 31) % 1) - 0.5) * 31  # 0 in the middle of a vertebra, 15.5 in that of a disc
    body = outline(y - 47, x, 17, 22 + np.clip(level - 8, 0, 4) * 0.5, 0.3)
    arch = np.minimum(outline(y - 74, x, 14, 17, 0.2), outline(y - 92, x, 17, 4, 0.3))
    wings = softmax(np.abs(y - 76 + np.abs(x) * 0.1) - 4.5, np.abs(x) - 38, 3)
    arch = softmin(arch, softmax(wings, level - 7, 3), 4)
    canvas.paint(box, arch, 330 + 90 * fine + 250 * np.clip(1 + arch / 4, 0, 1))
    bone = 190 + 45 * fine + 330 * np.clip(1 + body / 2.5, 0, 1)
    canvas.paint(box, body, np.where(level > 12, 85, bone))
    canvas.paint(box, outline(y - 72, x, 9, 11, 0.1), 25.0)


def _paint_ribs(canvas: Canvas, cavity: Array, muscle: Array, grain: Array) -> None:
    """Paint ribs in the wall, from the spine down to the front, ending in cartilage and the sternum."""
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


def height_above_dome(canvas: Canvas) -> Array:
    """Return the height above the diaphragm: three paraboloids over the recess, which is deeper at the back."""
    z, y, x = canvas.z, canvas.y, canvas.x
    top = LIVER_MM[1] + 4
    recess = top - 70 - 45 * np.clip((y + 40) / 100, 0, 1)
    height = recess
    for cy, cx, drop, narrow in ((-8, -74, 0, 165), (-2, 78, 14, 150), (-42, 8, 28, 90)):
        height = np.maximum(height, top - drop - ((y - cy) ** 2 + (x - cx) ** 2) / narrow)
    return z - height


def paint_thorax(canvas: Canvas, cavity: Array, dome: Array, hu: Enhancement, rng: Generator) -> None:
    box = canvas.box((110, 0, 0), (190, 400, 400))
    inside = np.maximum(cavity[box] + 1, -dome[box])
    bronchi = canvas.noise(rng, 6.0, box)
    canvas.paint(box, inside, -865 + 800 * np.clip(1.6 * (bronchi - 1.6), 0, 1))
    hilum, walls = canvas.ellipsoid((95, 42, 8), (75, 26, 26), turn=0.0)
    canvas.paint(hilum, np.maximum(walls, cavity[hilum] + 1), FAT_HU + 20)
    centre, radii = (LIVER_MM[1] + 22, -38 + rng.normal(0, 5), 22 + rng.normal(0, 6)), (46, 50, 62)
    sac, heart = canvas.ellipsoid(centre, radii, turn=0.5)
    heart = np.maximum(heart, cavity[sac] + 3)
    canvas.paint(sac, heart - 5, FAT_HU)
    canvas.paint(sac, heart, hu.myocardium + 6 * canvas.noise(rng, 12.0, sac))
    for shift in ((0, 14, 18), (2, -14, -14)):
        blood = canvas.ellipsoid(tuple(np.add(centre, shift)), (27, 20, 29), turn=0.5)
        canvas.paint(blood[0], np.maximum(blood[1], cavity[blood[0]] + 3), 0.5 * (hu.artery + hu.vein))


def paint_gut(canvas: Canvas, cavity: Array, hu: Enhancement, rng: Generator) -> None:
    """Paint small bowel, colon and stomach, with gas in front and food, water or positive contrast behind."""
    oral = float(rng.choice((20.0, rng.uniform(60, 130), 260.0), p=(0.3, 0.5, 0.2)))
    paint_bowel(canvas, cavity, hu, oral, ((-150, -85, -95), (-10, 20, 100)), 52, rng)
    for ends in _COLON:
        _paint_colon(canvas, cavity, np.array(ends), rng)
    _paint_stomach(canvas, cavity, hu, oral, rng)


def paint_bowel(
    canvas: Canvas,
    cavity: Array,
    hu: Enhancement,
    oral: float,
    corners: tuple[Point, Point],
    loops: int,
    rng: Generator,
) -> None:
    """Paint loops of small bowel that start between two corners; some are filled with the oral contrast medium."""
    for _ in range(loops):
        z, y, x = (rng.uniform(low, high) for low, high in zip(*corners, strict=True))
        line = walk(rng, (z, y, x), (18, 22, 38), 18, 6.0)
        box, f = canvas.tube(line, np.full(18, rng.uniform(9, 15)), 4.0)
        f = np.maximum(f, cavity[box] + 2)
        canvas.paint(box, f, hu.gut)
        filling = float(rng.choice((hu.gut, 25.0, oral, -300.0), p=(0.7, 0.1, 0.13, 0.07)))
        canvas.paint(box, f + 3, filling + 10 * canvas.noise(rng, 9.0, box))


def _paint_colon(canvas: Canvas, cavity: Array, ends: np.ndarray, rng: Generator) -> None:
    ends = ends + rng.normal(0, 8, ends.shape)
    line = through(ends, 14 * len(ends))
    radii = rng.uniform(16, 22) + 3 * np.sin(np.arange(len(line)) * 1.4)
    box, f = canvas.tube(line, radii, 4.0)
    f = np.maximum(f, cavity[box] + 2)
    gas = canvas.noise(rng, 7.0, box) + 2 * canvas.noise(rng, 45.0, box) - 0.8
    canvas.paint(box, f, 55.0)
    canvas.paint(box, f + 2.5, rng.uniform(40, 110) - 600 * np.clip(gas, 0, 1.4))


def _paint_stomach(canvas: Canvas, cavity: Array, hu: Enhancement, oral: float, rng: Generator) -> None:
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


def paint_left_organs(canvas: Canvas, cavity: Array, dome: Array, hu: Enhancement, rng: Generator) -> None:
    size = rng.uniform(0.9, 1.3)
    box, spleen = canvas.ellipsoid((22, 34, 112), (50 * size, 46 * size, 30 * size), turn=-0.5)
    spleen = np.maximum(softmax(spleen, cavity[box] + 3, 3), dome[box] + 3)
    mottle = max(0.0, hu.artery - 200) * 0.2 * canvas.noise(rng, 14.0, box)
    canvas.paint(box, spleen - 1.5, FAT_HU)
    canvas.paint(box, spleen, hu.spleen + mottle)
    line = np.array([(-22, -22, -28), (-30, -10, -25), (-14, -26, 2), (-2, -6, 30), (4, 14, 62), (10, 24, 80)])
    line = through(line, 40)
    box, pancreas = canvas.tube(line, np.linspace(13, 9, 40), 4.0)
    canvas.paint(box, pancreas + 1.5 * canvas.noise(rng, 8.0, box), 0.6 * hu.spleen + 0.4 * hu.muscle)
    box, vein = canvas.tube(line[12:] + np.array((3, 9, 0)), np.linspace(5.5, 4, 28), 3.0)
    canvas.paint(box, vein, hu.vein)


def paint_behind_liver(canvas: Canvas, hu: Enhancement, rng: Generator) -> list[Point]:
    """Paint kidneys, great vessels and gallbladder, which press into the liver; return the kidneys' centres."""
    kidneys: list[Point] = []
    for x, z in ((-56, -58), (62, -38)):
        centre, size = (z + rng.normal(0, 5), 43 + rng.normal(0, 3), x), rng.uniform(0.9, 1.1)
        kidneys.append(centre)
        box, kidney = canvas.ellipsoid(centre, (54 * size, 28 * size, 27 * size), turn=0.5 if x < 0 else -0.5)
        canvas.paint(box, kidney - 5, FAT_HU)
        pyramids = np.clip(0.5 + canvas.noise(rng, 11.0, box), 0, 1) * (kidney < -7)
        canvas.paint(box, kidney, hu.cortex + pyramids * (hu.medulla - hu.cortex))
        canvas.paint(*canvas.ellipsoid((centre[0], 35, x * 0.74), (24, 9, 14), turn=0.0), FAT_HU)
    bladder = tuple(np.multiply((30, 27, 13), rng.uniform(0.7, 1.1)))
    box, gall = canvas.ellipsoid((-28, -50, -30 + rng.normal(0, 4)), bladder, turn=0.4)
    canvas.paint(box, gall - 2, hu.gut)
    canvas.paint(box, gall, rng.uniform(2, 18))
    canvas.paint(*canvas.ellipsoid((0, 24, 10), (900, 14, 14), turn=0.0), FAT_HU)
    for (y, x), radius, value in (((24, 10), 11, hu.artery), ((20, -18), 11.5, 0.5 * (hu.vein + hu.liver))):
        canvas.paint(*canvas.ellipsoid((0, y, x), (900, radius, radius), turn=0.0), value)
    canvas.paint(*canvas.ellipsoid((20, 27, -3), (70, 12, 4), turn=0.0), hu.muscle)  # crus of the diaphragm
    return kidneys
