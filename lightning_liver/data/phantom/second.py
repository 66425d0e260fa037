"""Version 2 of the phantoms: bodies of many sizes, off the middle of the field, from thorax to pelvis.

A liver cannot be found from its position: its centre moves in the field as in real scans, see experiments/position.
Livers and tumours are of irregular shapes, tumours may be isodense, and benign cysts are no tumours.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.random import Generator

import lightning_liver.data.phantom.first as first
from lightning_liver.data.phantom.anatomy import (
    TRUNK_MM,
    height_above_dome,
    paint_behind_liver,
    paint_gut,
    paint_left_organs,
    paint_thorax,
    paint_trunk,
)
from lightning_liver.data.phantom.canvas import Array, Canvas, Labels, Patient, softmax
from lightning_liver.data.phantom.domain import SLICES_MM, ScanGrid, scan_grid
from lightning_liver.data.phantom.lesions import paint_lesions, paint_renal_cysts
from lightning_liver.data.phantom.liver import LIVER_MM, Form, paint_liver, paint_vessels
from lightning_liver.data.phantom.outskirts import paint_mediastinum, paint_pelvis

_SCALE = (0.85, 1.2)
_BEND_MM = (3.0, 5.0, 6.0)
_SHIFT_MM, _LARGEST_SHIFT_MM = (15.0, 18.0), 40.0  # along y and x
_LARGEST_FIELD_MM = 500.0
_CUT_MM = 12.0  # of the skin that may lie outside the field


def draw_patient(rng: Generator, tumour_fraction: float, phase: str | None) -> Patient:
    """Draw a body of 0.85 to 1.2 times the atlas, of slightly other proportions; phase None is as in version 1."""
    patient = first.draw_patient(rng, tumour_fraction, phase)
    size = rng.uniform(0.86, 1.15)
    z, y, x = np.clip(size * rng.uniform(0.95, 1.05, 3), *_SCALE).tolist()
    return replace(patient, scale=(z, y, x))


def draw_grid(patient: Patient, matrix: int, rng: Generator, slice_mm: float | None) -> ScanGrid:
    """Draw a field of view in which the patient lies off the middle, and slices from thorax to pelvis."""
    z, y, x = patient.scale
    drawn_mm = float(rng.choice(SLICES_MM))
    below_mm, above_mm = _draw_margin(rng, 10, 190), _draw_margin(rng, 6, 120)
    ends_mm = (LIVER_MM[0] - 8) * z - below_mm, (LIVER_MM[1] + 6) * z + above_mm
    body_mm = 2 * (TRUNK_MM[1] + patient.fat_mm) * x
    field_mm = max(body_mm, min(body_mm + rng.uniform(10, 110), _LARGEST_FIELD_MM))
    y_mm, x_mm = rng.normal(0, _SHIFT_MM).clip(-_LARGEST_SHIFT_MM, _LARGEST_SHIFT_MM).tolist()
    room_mm = (field_mm - body_mm) / 2 + _CUT_MM
    centre_mm = (14 * y + y_mm, float(np.clip(x_mm, -room_mm, room_mm)))
    return scan_grid(ends_mm, drawn_mm if slice_mm is None else slice_mm, centre_mm, field_mm, matrix)


def draw(axes_mm: Sequence[np.ndarray], patient: Patient, rng: Generator) -> tuple[Array, Labels]:
    """Draw noiseless HU and labels at the voxel centres along z, y and x."""
    trunk, abdomen, thorax, gut, solid, liver, vessels, lesions, pelvis, cysts = rng.spawn(10)
    canvas = Canvas(axes_mm, patient.scale, trunk, _BEND_MM)
    cavity = paint_trunk(canvas, patient, trunk)
    dome = height_above_dome(canvas)
    paint_thorax(canvas, cavity, dome, patient.hu, thorax)
    paint_mediastinum(canvas, cavity, patient.hu)
    paint_pelvis(canvas, cavity, patient.hu, pelvis)
    paint_gut(canvas, softmax(cavity, dome + 2, 2), patient.hu, gut)
    paint_left_organs(canvas, cavity, dome, patient.hu, solid)
    box, distance = paint_liver(canvas, cavity, dome, patient.hu, _draw_form(liver), liver)
    paint_renal_cysts(canvas, paint_behind_liver(canvas, patient.hu, abdomen), cysts)
    paint_vessels(canvas, box, distance, patient.hu, vessels)
    return canvas.hu, canvas.labels(paint_lesions(canvas, box, distance, patient, lesions))


def _draw_margin(rng: Generator, least_mm: float, most_mm: float) -> float:
    """Draw how far a scan extends beyond the liver: a little, in most cases, or up to another part of the body."""
    return least_mm + (most_mm - least_mm) * float(rng.beta(0.8, 1.6))


def _draw_form(rng: Generator) -> Form:
    """Draw a liver with a long or short right lobe, a large or small left one, and a smooth or nodular surface."""
    return Form(
        tilt=rng.normal(0, 0.09),
        left=rng.uniform(20, 100),
        medial=12 + rng.normal(0, 9),
        visceral=8 + rng.normal(0, 9),
        under=8 + rng.normal(0, 9),
        behind=14 + rng.normal(0, 7),
        tip=LIVER_MM[0] + 4 + rng.uniform(-8, 12),
        relief=((rng.uniform(1, 2.5), 18.0), (rng.uniform(2, 6), 50.0)),
    )
