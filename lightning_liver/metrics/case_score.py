"""Score of a case: metrics of liver and tumour, its lesions, its tumour burden."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from jaxtyping import Bool, UInt8

from lightning_liver.errors import LiverError
from lightning_liver.metrics.case_metric import MaskPair, case_metrics
from lightning_liver.metrics.components import LPS, SPECK, Affine, box_of
from lightning_liver.metrics.lesions import LesionScore, MaskPlace, score_lesions
from lightning_liver.metrics.mask_score import MaskScore, score_mask
from lightning_liver.metrics.modes import PENALTY, Mode, mode_of
from lightning_liver.metrics.voxel_counts import SpacingMm

LabelVolume = UInt8[np.ndarray, "z y x"]

_TUMOUR = 2


@dataclass(frozen=True)
class CaseScore:
    """Score of one case.

    Args:
        mode: official or corrected.
        structures: scores of "liver", tumours included, and "tumour".
        lesions: the connected components of tumour.
        burden_error: tumour volume / liver volume, true minus predicted; None where the official scorer has none.
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
        mode: "official" or "corrected", see modes.py, also for empty masks.
        tolerance_mm: largest surface distance that counts as none for surface_dice.
        affine: of the file, as in Volume. Lesions have their place in its millimetres and are numbered in the file's
            order; official figures depend on it where a prediction spans several of them.

    Raises:
        LiverError: unequal shapes, other labels, unknown mode, a spacing or tolerance out of range.
    """
    _check_labels(truth, prediction)
    rules = mode_of(mode)
    box = box_of(truth, prediction) or SPECK
    place = MaskPlace((box[0].start, box[1].start, box[2].start), truth.shape, affine)
    truth, prediction = truth[box], prediction[box]
    pair_of = partial(MaskPair, spacing_mm=spacing_mm, tolerance_mm=tolerance_mm, mode=rules)
    livers = pair_of(truth > 0, _predicted_liver(prediction, rules))
    tumours = pair_of(truth == _TUMOUR, prediction == _TUMOUR)
    structures = {"liver": _score_liver(livers), "tumour": score_mask(tumours)}
    return CaseScore(mode, structures, score_lesions(tumours, affine, place), _burden_error(structures, rules))


def _check_labels(truth: LabelVolume, prediction: LabelVolume) -> None:
    if truth.shape != prediction.shape:
        raise LiverError(f"the truth has {truth.shape} voxels (z, y, x), the prediction {prediction.shape}")
    for name, labels in (("truth", truth), ("prediction", prediction)):
        if labels.size and (seen := int(labels.max())) > _TUMOUR:
            raise LiverError(f"the {name} has label {seen}, but labels are 0 background, 1 liver and 2 tumour")


def _predicted_liver(prediction: LabelVolume, mode: Mode) -> Bool[np.ndarray, "z y x"]:
    """Return the predicted liver; the official scorer sees none without a voxel of label 1."""
    liver: Bool[np.ndarray, "z y x"] = prediction > 0
    return np.zeros_like(liver) if mode.is_official and not (prediction == 1).any() else liver


def _score_liver(masks: MaskPair) -> MaskScore:
    """Score the liver; the official scorer gives an empty prediction the worst values."""
    score = score_mask(masks)
    if not masks.mode.is_official or score.predicted_voxels:
        return score
    metrics = {
        name: score.metrics[name] if metric.worst is None else metric.worst for name, metric in case_metrics().items()
    }
    return replace(score, metrics=metrics)


def _burden_error(structures: Mapping[str, MaskScore], mode: Mode) -> float | None:
    liver, tumour = structures["liver"], structures["tumour"]
    empty = (None, PENALTY) if mode.is_official else (0.0, 0.0)
    true = tumour.true_voxels / liver.true_voxels if liver.true_voxels else empty[0]
    predicted = tumour.predicted_voxels / liver.predicted_voxels if liver.predicted_voxels else empty[1]
    return None if true is None or predicted is None else true - predicted
