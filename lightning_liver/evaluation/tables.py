"""Scores of a data set as tables for a terminal. Every table names its mode."""

from collections.abc import Sequence

from lightning_liver.metrics.aggregate import BANDS_MM, DISTANCES, RATIOS, Figures, case_values
from lightning_liver.metrics.case_score import CaseScore
from lightning_liver.metrics.intervals import mean_over_patients
from lightning_liver.metrics.lesions import THRESHOLDS
from lightning_liver.tables import Row, text_table
from lightning_liver.types import STRUCTURES

_SHOWN = {
    "dice": "Dice",
    "jaccard": "Jaccard",
    "voe": "VOE",
    "rvd": "RVD",
    "assd_mm": "ASSD, mm",
    "rmsd_mm": "RMSD, mm",
    "mssd_mm": "MSSD, mm",
    "hd95_mm": "HD95, mm",
    "surface_dice": "surface Dice",
}
_OF_MODE = {
    "official": "official, as PatrickChrist/lits-challenge-scoring",
    "corrected": "corrected, lesions counted as in veugene/lits-challenge-scoring",
}


def score_tables(scores: Sequence[CaseScore], patients: Sequence[str], figures: Figures, tolerance_mm: float) -> str:
    """Tables of structures, lesions and burden.

    Args:
        scores: of the cases.
        patients: whose each case is.
        figures: what data_set_figures made of the scores for stage "test".
    """
    mode = _OF_MODE[scores[0].mode]
    count = f"{len(scores)} cases of {len(set(patients))} patients"
    parts = [
        f"Mode {mode}. {count}; surface Dice at {tolerance_mm:g} mm.",
        *(
            f"{structure.capitalize()}, mode {scores[0].mode}: mean over cases, 95 % interval over patients\n\n"
            + text_table(_structure_rows(scores, patients, structure))
            for structure in STRUCTURES
        ),
        f"Lesions, mode {scores[0].mode}: by overlap (intersection over union)\n\n" + text_table(_lesion_rows(figures)),
        f"Lesions detected above 0.5, mode {scores[0].mode}: mean over lesions\n\n" + text_table(_found_rows(figures)),
        _burden_line(figures, scores[0].mode),
    ]
    return "\n\n".join(parts)


def _structure_rows(scores: Sequence[CaseScore], patients: Sequence[str], structure: str) -> list[Row]:
    rows: list[Row] = []
    for name in ("dice", "jaccard", "voe", "rvd", *DISTANCES, "surface_dice"):
        values = case_values(scores, structure, name)
        defined = [value for value in values if value is not None]
        interval = mean_over_patients(values, patients)
        mean = sum(defined) / len(defined) if defined else None
        rows.append(
            {
                "": _SHOWN[name],
                "mean": mean,
                "95 % low": interval.low,
                "95 % high": interval.high,
                "cases": len(defined),
            }
        )
    return rows


def _lesion_rows(figures: Figures) -> list[Row]:
    names = {"precision": "precision_{}", "recall": "recall_{}", "F1": "f1_{}"}
    names |= {f"recall, {band.replace('_', ' ')}": f"recall_{{}}_{band}" for band in BANDS_MM}
    return [
        {"": shown}
        | {f"above {threshold:g}": figures[f"test/lesion/{name.format(key)}"] for key, threshold in THRESHOLDS.items()}
        for shown, name in names.items()
    ]


def _found_rows(figures: Figures) -> list[Row]:
    names = ("dice", *RATIOS[:-1], *DISTANCES, "surface_dice")
    return [{_SHOWN[name]: figures[f"test/lesion/{name}"] for name in names}]


def _burden_line(figures: Figures, mode: str) -> str:
    shown = [
        f"{value:.3f}" if value is not None else "-"
        for value in (figures["test/burden/rmse"], figures["test/burden/maximum"])
    ]
    globally = [f"{s} {value:.3f}" for s in STRUCTURES if (value := figures[f"test/{s}/dice_global"]) is not None]
    return f"Dice global, mode {mode}: {', '.join(globally)}. Tumour burden: RMSE {shown[0]}, maximum {shown[1]}."
