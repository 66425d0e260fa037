"""Score of one mask beside its truth."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from lightning_liver.api.arrays import spacing_of
from lightning_liver.config import compose
from lightning_liver.errors import LiverError
from lightning_liver.metrics.case_score import CaseScore, LabelVolume, score_case


def evaluate(
    truth: ArrayLike,
    prediction: ArrayLike,
    spacing_mm: Sequence[float],
    *,
    mode: str | None = None,
    tolerance_mm: float | None = None,
) -> CaseScore:
    """Score a label map of one scan beside its truth, as liver-evaluate does.

    Args:
        truth, prediction: label maps 0, 1 liver, 2 tumour, (z, y, x), of one shape.
        spacing_mm: distance between voxel centres along z, y and x.
        mode: "official" as the LiTS challenge scored, or "corrected"; None is liver-evaluate's default.
        tolerance_mm: distance between surfaces that surface Dice accepts; None is liver-evaluate's default.

    Returns:
        `structures["tumour"].metrics["dice"]` and so on, `lesions.lesions`, and `burden_error`.

    Raises:
        LiverError: unequal shapes, other labels, an unknown mode, a spacing or tolerance out of range.
    """
    usual = _defaults()
    return score_case(
        _labels("truth", truth),
        _labels("prediction", prediction),
        spacing_mm=spacing_of(spacing_mm),
        mode=usual.mode if mode is None else mode,
        tolerance_mm=usual.tolerance_mm if tolerance_mm is None else tolerance_mm,
    )


@cache
def _defaults() -> Any:
    return compose("evaluate", [])


def _labels(name: str, given: ArrayLike) -> LabelVolume:
    labels = np.asarray(given)
    if labels.ndim != 3:
        raise LiverError(f"{name}: expected an array (z, y, x), got {labels.ndim} dimensions; pass one whole scan")
    whole = labels.astype(np.uint8) if labels.dtype.kind in "biuf" else None
    if whole is None or not np.array_equal(whole, labels):
        raise LiverError(f"{name}: expected the labels 0, 1 liver and 2 tumour; convert probabilities by a threshold")
    return np.ascontiguousarray(whole)
