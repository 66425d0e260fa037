"""A case scored: the figures of liver and tumour, its lesions, its tumour burden."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, UInt8

from lightning_liver.errors import LiverError
from lightning_liver.metrics.components import LPS, SPECK, Affine, box_of
from lightning_liver.metrics.lesions import LesionScore, lesion_score
from lightning_liver.metrics.mask_score import MaskScore, mask_score
from lightning_liver.metrics.modes import PENALTY, Mode, mode_of
from lightning_liver.metrics.voxel_counts import SpacingMm

LabelVolume = UInt8[np.ndarray, "z y x"]

_TUMOUR = 2


@dataclass(frozen=True)
class CaseScore:
    """Figures of one case.

    Args:
        mode: how it was scored.
        structures: of "liver", tumours included, and "tumour".
        lesions: the connected components of tumour.
        burden_error: the tumour's share of the liver, true minus predicted; None where the official scorer has none.
    """

    mode: str
    structures: Mapping[str, MaskScore]
    lesions: LesionScore
    burden_error: float | None


def score_case(
    truth: LabelVolume,
    prediction: LabelVolume,
    *,
    spacing_mm: SpacingMm,
    mode: str,
    tolerance_mm: float,
    affine: Affine = LPS,
) -> CaseScore:
    """Score the prediction of one scan on the scan's own grid.

    Args:
        truth, prediction: label maps 0, 1 liver, 2 tumour of one shape.
        spacing_mm: distance between voxel centres along z, y and x.
        mode: "official" or "corrected", see modes.py, which also says what becomes of empty masks.
        tolerance_mm: up to which a distance counts as none for surface_dice.
        affine: of the file, as in Volume. Lesions are numbered in the file's order, and where a prediction spans
            several of them the official figures depend on it.

    Raises:
        LiverError: unequal shapes, other labels, no such mode, a spacing or tolerance out of range.
    """
    _refuse_unlike(truth, prediction)
    rules = mode_of(mode)
    box = box_of(truth, prediction) or SPECK
    truth, prediction = truth[box], prediction[box]
    tumours = (truth == _TUMOUR, prediction == _TUMOUR)
    livers = (truth > 0, _predicted_liver(prediction, rules))
    structures = {
        name: mask_score(*pair, spacing_mm=spacing_mm, tolerance_mm=tolerance_mm, mode=rules)
        for name, pair in (("liver", livers), ("tumour", tumours))
    }
    structures["liver"] = _as_the_mode_has_it(structures["liver"], rules)
    lesions = lesion_score(*tumours, spacing_mm=spacing_mm, tolerance_mm=tolerance_mm, mode=rules, affine=affine)
    return CaseScore(mode, structures, lesions, _burden_error(structures, rules))


def _refuse_unlike(truth: LabelVolume, prediction: LabelVolume) -> None:
    if truth.shape != prediction.shape:
        raise LiverError(f"the truth has {truth.shape} voxels (z, y, x), the prediction {prediction.shape}")
    for name, labels in (("truth", truth), ("prediction", prediction)):
        if labels.size and (seen := int(labels.max())) > _TUMOUR:
            raise LiverError(f"the {name} has label {seen}, but labels are 0 background, 1 liver and 2 tumour")


def _predicted_liver(prediction: LabelVolume, mode: Mode) -> Bool[np.ndarray, "z y x"]:
    """The official scorer sees a liver where label 1 is: one that is all tumour is none."""
    liver: Bool[np.ndarray, "z y x"] = prediction > 0
    return np.zeros_like(liver) if mode.is_official and not (prediction == 1).any() else liver


def _as_the_mode_has_it(liver: MaskScore, mode: Mode) -> MaskScore:
    if mode.is_official and not liver.predicted_voxels:
        return replace(liver, dice=0.0, jaccard=0.0, voe=1.0, surface_dice=0.0)
    return liver


def _burden_error(structures: Mapping[str, MaskScore], mode: Mode) -> float | None:
    liver, tumour = structures["liver"], structures["tumour"]
    of_none = (None, PENALTY) if mode.is_official else (0.0, 0.0)
    true = tumour.true_voxels / liver.true_voxels if liver.true_voxels else of_none[0]
    predicted = tumour.predicted_voxels / liver.predicted_voxels if liver.predicted_voxels else of_none[1]
    return None if true is None or predicted is None else true - predicted
