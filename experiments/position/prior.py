"""Prediction of a liver from the place of a voxel alone, by the map of where other patients have theirs."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32

STEP_MM = 4.0
_PIXELS = 128  # of the map along y and x
_RELATIVE = 48  # slices of the map between a scan's ends
_THRESHOLDS = np.arange(0.05, 1, 0.05)


class LiverMask(NamedTuple):
    """Liver of a scan, LPS, with its spacing in millimetres along z, y and x."""

    liver: Bool[np.ndarray, "z y x"]
    spacing_mm: tuple[float, float, float]
    patient: str


Place = Callable[[int, float], np.ndarray]  # (slices, their distance) -> the slice nearest each slice of the map, or -1
Map = Float32[np.ndarray, "case z y x"]


def placements() -> Iterator[tuple[str, Place]]:
    """Yield the ways to align slices of different scans: relative to both ends, or from one end in millimetres."""
    yield "between the ends of the scan", lambda slices, _: np.arange(_RELATIVE) * slices // _RELATIVE
    yield "millimetres from the top", lambda slices, mm: slices - 1 - _from_end(slices, mm)
    yield "millimetres from the bottom", _from_end


def position_alone(masks: Sequence[LiverMask], place: Place) -> float:
    """Return the mean Dice per case of the best map of positions.

    A scan is predicted where the mean liver mask of other patients, in millimetres of the field of view, exceeds a
    threshold. The threshold is the best one over all scans.

    Args:
        masks: of two patients at least.
        place: aligns the slices of scans.
    """
    truth = np.stack([_on_map(mask, place) for mask in masks])
    patients = np.array([mask.patient for mask in masks])
    means = {patient: truth[patients == patient].mean(0) for patient in sorted(set(patients))}
    scores = []
    for mask, own in zip(masks, truth, strict=True):
        others = np.mean([mean for patient, mean in means.items() if patient != mask.patient], axis=0)
        scores.append([_dice(others >= threshold, own) for threshold in _THRESHOLDS])
    return float(np.mean(scores, axis=0).max())


def with_liver(mask: LiverMask) -> LiverMask:
    """Return the slices from the first to the last one with liver."""
    shown = np.flatnonzero(mask.liver.any((1, 2)))
    return mask._replace(liver=mask.liver[shown[0] : shown[-1] + 1])


def centre_spread_mm(masks: Sequence[LiverMask]) -> Float[np.ndarray, "2"]:
    """Return the standard deviation over scans of the liver's centre in the field, in millimetres along y and x."""
    return np.std([_centre_mm(mask) for mask in masks], axis=0, ddof=1)


def _centre_mm(mask: LiverMask) -> Float[np.ndarray, "2"]:
    middle = (np.array(mask.liver.shape[1:]) - 1) / 2
    return (np.argwhere(mask.liver).mean(0)[1:] - middle) * mask.spacing_mm[1:]


def _on_map(mask: LiverMask, place: Place) -> Float32[np.ndarray, "z y x"]:
    """Return the mask on the map's grid by nearest neighbours, its field centred; beyond the scan is no liver."""
    liver, (z_mm, y_mm, x_mm) = mask.liver, mask.spacing_mm
    offset_mm = (np.arange(_PIXELS) - (_PIXELS - 1) / 2) * STEP_MM
    middles = (n / 2 for n in liver.shape[1:])
    y, x = (np.floor(offset_mm / mm + mid).astype(int) for mm, mid in zip((y_mm, x_mm), middles, strict=True))
    index = [place(len(liver), z_mm), y, x]
    z, y, x = ((i >= 0) & (i < n) for i, n in zip(index, liver.shape, strict=True))
    nearest = liver[np.ix_(*(i.clip(0, n - 1) for i, n in zip(index, liver.shape, strict=True)))]
    return (nearest & z[:, None, None] & y[:, None] & x).astype(np.float32)


def _from_end(slices: int, slice_mm: float) -> np.ndarray:
    index = np.floor(np.arange(0, 600, STEP_MM) / slice_mm).astype(int)
    return np.where(index < slices, index, -1)


def _dice(predicted: Bool[np.ndarray, "z y x"], truth: Float32[np.ndarray, "z y x"]) -> float:
    return float(2 * truth[predicted].sum() / (predicted.sum() + truth.sum()))
