"""Aggregation of case scores: figures of a data set, and rows of tables."""

import math
from collections.abc import Iterable, Sequence

import numpy as np

from lightning_liver.errors import LiverError
from lightning_liver.metrics.case_metric import CaseMetric, case_metrics
from lightning_liver.metrics.case_score import CaseScore
from lightning_liver.metrics.lesions import THRESHOLDS, Lesion
from lightning_liver.metrics.mask_score import MaskScore
from lightning_liver.metrics.modes import Mode, mode_of
from lightning_liver.metrics.voxel_counts import Voxels, dice
from lightning_liver.types import STRUCTURES

Figures = dict[str, float | None]
Row = dict[str, str | int | float | None]

LESION_COLUMNS = (
    *("case", "patient", "kind", "lesion", "volume_ml", "diameter_mm", "slice_index"),
    *("x_ras_mm", "y_ras_mm", "z_ras_mm", "overlap"),
    *(f"detected_{name}" for name in THRESHOLDS),
)
BANDS_MM = {  # diameter of reference lesions
    "below_10_mm": (0.0, 10.0),
    "10_to_20_mm": (10.0, 20.0),
    "from_20_mm": (20.0, math.inf),
}


def data_set_figures(scores: Sequence[CaseScore], stage: str) -> Figures:
    """Return the figures of a data set by name; None where undefined.

    `stage`/liver and `stage`/tumour: the mean over cases of each metric in metrics/case (dice as dice_per_case), and
    dice_global (all voxels as one case). Undefined values are left out of a mean, but for livers in the official mode:
    see modes.py.
    `stage`/lesion: precision_, recall_ and f1_ at 0 and 50 (% overlap), over the lesions of all cases; recall_0_ and
    recall_50_ by the lesion's diameter: below_10_mm, 10_to_20_mm, from_20_mm; the mean of each metric over the lesions
    detected at 50.
    `stage`/burden: rmse and maximum of burden_error.

    Raises:
        LiverError: no case; cases scored in different modes.
    """
    mode = _one_mode(scores)
    figures: Figures = {}
    for structure in STRUCTURES:
        named = {
            metric.mean_name or name: _mean(case_values(scores, structure, name))
            for name, metric in case_metrics().items()
        }
        named["dice_global"] = _dice_global([score.structures[structure] for score in scores], mode)
        figures |= {f"{stage}/{structure}/{name}": value for name, value in named.items()}
    lesions = _detection_figures(scores, mode) | _band_figures(scores) | _found_figures(scores, mode)
    figures |= {f"{stage}/lesion/{name}": value for name, value in lesions.items()}
    return figures | {f"{stage}/burden/{name}": value for name, value in _burden_figures(scores, mode).items()}


def case_values(scores: Sequence[CaseScore], structure: str, name: str) -> list[float | None]:
    """Return a metric of each case as it enters the mean: None is left out, the official penalty replaces it."""
    penalty = mode_of(scores[0].mode).penalty if structure == "liver" else None
    values = [score.structures[structure].metrics[name] for score in scores]
    return [penalty if value is None else value for value in values]


def case_rows(case: str, patient: str, score: CaseScore) -> list[Row]:
    """Return the rows of cases.csv, one a structure."""
    names = {"case": case, "patient": patient}
    return [{**names, "structure": structure, **score.structures[structure].row()} for structure in STRUCTURES]


def lesion_rows(case: str, patient: str, score: CaseScore) -> list[Row]:
    """Return the rows of lesions.csv, one a lesion, reference lesions first."""
    return [_lesion_row({"case": case, "patient": patient}, lesion) for lesion in score.lesions.lesions]


def _lesion_row(names: Row, lesion: Lesion) -> Row:
    return {
        **names,
        "kind": lesion.kind,
        "lesion": lesion.number,
        "volume_ml": lesion.volume_ml,
        "diameter_mm": lesion.diameter_mm,
        "slice_index": lesion.slice_index,
        **{f"{axis}_ras_mm": round(mm, 2) for axis, mm in zip("xyz", lesion.centroid_ras_mm, strict=True)},
        "overlap": lesion.overlap,
        **{f"detected_{name}": int(lesion.detected[name]) for name in THRESHOLDS},
    }


def _one_mode(scores: Sequence[CaseScore]) -> Mode:
    modes = {score.mode for score in scores}
    if len(modes) != 1:
        raise LiverError(f"expected cases of one mode, got {', '.join(sorted(modes)) or 'no case'}")
    return mode_of(modes.pop())


def _dice_global(masks: Sequence[MaskScore], mode: Mode) -> float:
    pooled = Voxels(*(sum(column) for column in zip(*map(_count, masks), strict=True)))
    nothing = not pooled.true and not pooled.predicted
    return 0.0 if nothing and mode.is_official else dice(pooled)


def _count(mask: MaskScore) -> Voxels:
    return Voxels(mask.true_voxels, mask.predicted_voxels, mask.common_voxels)


def _mean(values: Iterable[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return float(np.mean(defined)) if defined else None


def _ratio(part: int, whole: int, if_empty: float | None) -> float | None:
    return part / whole if whole else if_empty


def _detection_figures(scores: Sequence[CaseScore], mode: Mode) -> Figures:
    figures: Figures = {}
    if_empty = 0.0 if mode.is_official else None
    for name in THRESHOLDS:
        found = [score.lesions.detections[name] for score in scores]
        tp, fp, fn = (sum(getattr(one, kind) for one in found) for kind in ("tp", "fp", "fn"))
        figures |= {
            f"precision_{name}": _ratio(tp, tp + fp, if_empty),
            f"recall_{name}": _ratio(tp, tp + fn, if_empty),
            f"f1_{name}": _ratio(2 * tp, 2 * tp + fp + fn, if_empty),
        }
    return figures


def _band_figures(scores: Sequence[CaseScore]) -> Figures:
    reference = [lesion for score in scores for lesion in score.lesions.lesions if lesion.kind == "reference"]
    return {
        f"recall_{name}_{band}": _mean(one.detected[name] for one in reference if low <= one.diameter_mm < high)
        for name in THRESHOLDS
        for band, (low, high) in BANDS_MM.items()
    }


def _found_figures(scores: Sequence[CaseScore], mode: Mode) -> Figures:
    found = [mask for score in scores for mask in score.lesions.found]
    if not found:
        return {name: _none_detected(metric, mode) for name, metric in case_metrics().items()}
    return {name: _mean(mask.metrics[name] for mask in found) for name in case_metrics()}


def _none_detected(metric: CaseMetric, mode: Mode) -> float | None:
    if not mode.is_official:
        return None
    return mode.penalty if metric.worst is None else metric.worst


def _burden_figures(scores: Sequence[CaseScore], mode: Mode) -> Figures:
    errors = [score.burden_error for score in scores if score.burden_error is not None]
    if not errors:
        return {"rmse": None, "maximum": None}
    largest = max(errors) if mode.is_official else max(map(abs, errors))
    return {"rmse": math.sqrt(sum(error**2 for error in errors) / len(errors)), "maximum": largest}
