"""Version 1 of the phantoms: a body of nearly one size in the middle of the field, slices around its liver.

Studies that ran before version 2 name it. Its drawing must not change by a bit.
"""

from collections.abc import Sequence

import numpy as np
from numpy.random import Generator

from lightning_liver.data.phantom.anatomy import (
    TRUNK_MM,
    height_above_dome,
    paint_behind_liver,
    paint_gut,
    paint_left_organs,
    paint_thorax,
    paint_trunk,
)
from lightning_liver.data.phantom.canvas import Array, Canvas, Enhancement, Labels, Patient, softmax
from lightning_liver.data.phantom.domain import PHASE_PROBABILITIES, PHASES, SLICES_MM, ScanGrid, scan_grid
from lightning_liver.data.phantom.liver import LIVER_MM, draw_form, paint_liver, paint_tumours, paint_vessels


def draw_patient(rng: Generator, tumour_fraction: float, phase: str | None) -> Patient:
    """Draw a body of 0.93 to 1.06 times the atlas; phase None draws one as measured on LiTS."""
    drawn = str(
        rng.choice(list(PHASE_PROBABILITIES), p=list(PHASE_PROBABILITIES.values()))
    )  # drawn even if given, to keep the later draws
    seen = PHASES[drawn if phase is None else phase]
    return Patient(
        scale=(rng.uniform(0.93, 1.06), rng.uniform(0.93, 1.06), rng.uniform(0.93, 1.06)),
        fat_mm=float(np.clip(rng.lognormal(np.log(18), 0.45), 6, 36)),
        tumour_fraction=tumour_fraction,
        hypervascular=seen.hypervascular,
        tumour_below_hu=seen.tumour_below_hu,
        tumour_hu=seen.tumour_hu,
        hu=Enhancement(*(float(value) for value in rng.uniform(seen.lowest_hu, seen.highest_hu))),
    )


def draw_grid(patient: Patient, matrix: int, rng: Generator, slice_mm: float | None) -> ScanGrid:
    """Draw the field of view around the body, with slices beyond the liver at both ends."""
    z, y, x = patient.scale
    drawn_mm = float(rng.choice(SLICES_MM))
    ends_mm = LIVER_MM[0] * z - rng.uniform(30, 60), LIVER_MM[1] * z + rng.uniform(14, 26)
    field_mm = 2 * (TRUNK_MM[1] + patient.fat_mm) * x + rng.uniform(6, 50)
    centre_mm = (rng.uniform(10, 18) * y, rng.uniform(-5, 5))
    return scan_grid(ends_mm, drawn_mm if slice_mm is None else slice_mm, centre_mm, field_mm, matrix)


def draw(axes_mm: Sequence[np.ndarray], patient: Patient, rng: Generator) -> tuple[Array, Labels]:
    """Draw noiseless HU and labels at the voxel centres along z, y and x."""
    trunk, abdomen, thorax, gut, solid, liver, vessels, tumours = rng.spawn(8)
    canvas = Canvas(axes_mm, patient.scale, trunk)
    cavity = paint_trunk(canvas, patient, trunk)
    dome = height_above_dome(canvas)
    paint_thorax(canvas, cavity, dome, patient.hu, thorax)
    paint_gut(canvas, softmax(cavity, dome + 2, 2), patient.hu, gut)
    paint_left_organs(canvas, cavity, dome, patient.hu, solid)
    box, distance = paint_liver(canvas, cavity, dome, patient.hu, draw_form(liver), liver)
    paint_behind_liver(canvas, patient.hu, abdomen)
    paint_vessels(canvas, box, distance, patient.hu, vessels)
    tumour = np.zeros_like(canvas.liver)
    if patient.tumour_fraction > 0:
        paint_tumours(canvas, tumour, box, distance, patient, tumours)
    return canvas.hu, canvas.labels(tumour)
