"""The phantom's body above and below its abdomen, for scans of version 2 that reach the thorax or the pelvis."""

import numpy as np
from numpy.random import Generator

from lightning_liver.data.phantom.anatomy import paint_bowel
from lightning_liver.data.phantom.canvas import FAT_HU, Array, Canvas, Enhancement, outline, softmax


def paint_mediastinum(canvas: Canvas, cavity: Array, hu: Enhancement) -> None:
    """Paint the fat around the heart's vessels, with the ascending aorta and the pulmonary trunk."""
    box, fat = canvas.ellipsoid((165, 12, 2), (55, 46, 30), turn=0.0)
    canvas.paint(box, np.maximum(fat, cavity[box] + 3), FAT_HU)
    for (y, x), radius, value in (((-8, -16), 16, hu.artery), ((-16, 14), 13, 0.5 * (hu.artery + hu.vein))):
        box, vessel = canvas.ellipsoid((180, y, x), (60, radius, radius), turn=0.0)
        canvas.paint(box, np.maximum(vessel, cavity[box] + 3), value)


def paint_pelvis(canvas: Canvas, cavity: Array, hu: Enhancement, rng: Generator) -> None:
    """Paint bowel, urinary bladder, iliac bones and sacrum below the last rib."""
    paint_bowel(canvas, cavity, hu, float(rng.uniform(20, 130)), ((-270, -75, -85), (-160, 25, 85)), 24, rng)
    box, bladder = canvas.ellipsoid((-285, -40, 0), (40, 34, 46), turn=0.0)
    bladder = np.maximum(bladder, cavity[box] + 3)
    canvas.paint(box, bladder - 3, hu.muscle)
    canvas.paint(box, bladder, rng.uniform(0, 14))
    box = canvas.box((-240, 30, 0), (95, 120, 160))
    z, y, x = canvas.z[box], canvas.y[box], canvas.x[box]
    crest = z + 150 + 0.004 * (y - 35) ** 2
    wing = np.abs(outline(y - 15, x, 78, 112, 0.25)) - 6 + 2 * canvas.noise(rng, 20.0, box)
    wing = softmax(softmax(wing, crest, 6), -28 - y + 0.2 * (z + 160), 6)
    _paint_bone(canvas, box, softmax(wing, 34 - np.abs(x), 4))
    sacrum = outline(y - 72 - 0.12 * np.minimum(z + 165, 0), x, 22, 46 + 0.1 * np.minimum(z + 165, 0), 0.3)
    _paint_bone(canvas, box, softmax(sacrum, z + 165, 4))


def _paint_bone(canvas: Canvas, box: tuple[slice, slice, slice], distance: Array) -> None:
    """Paint marrow with a dense cortex."""
    canvas.paint(box, distance, 170 + 380 * np.clip(1 + distance / 2.5, 0, 1))
