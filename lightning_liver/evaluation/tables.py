"""Tables of a data set's scores for a terminal, each naming its mode."""

from collections.abc import Sequence

from lightning_liver.metrics.aggregate import BANDS_MM, Figures, case_values
from lightning_liver.metrics.case_metric import CaseMetric, case_metrics
from lightning_liver.metrics.case_score import CaseScore
from lightning_liver.metrics.intervals import mean_over_patients
from lightning_liver.metrics.lesions import THRESHOLDS
from lightning_liver.tables import Row, text_table
from lightning_liver.types import STRUCTURES

_OF_MODE = {
    "official": "official, as PatrickChrist/lits-challenge-scoring",
    "corrected": "corrected, lesions counted as in veugene/lits-challenge-scoring",
}


def score_tables(scores: Sequence[CaseScore], patients: Sequence[str], figures: Figures, tolerance_mm: float) -> str:
    """Return tables of structures, lesions and burden.

    Args:
        scores: of the cases.
        patients: of each case.
        figures: data_set_figures of the scores for stage "test".
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
    for name, metric in case_metrics().items():
        values = case_values(scores, structure, name)
        defined = [value for value in values if value is not None]
        interval = mean_over_patients(values, patients, metric.bounds)
        mean = sum(defined) / len(defined) if defined else None
        rows.append(
            {
                "": _named(metric),
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
    return [{_named(metric): figures[f"test/lesion/{name}"] for name, metric in case_metrics().items()}]


def _named(metric: CaseMetric) -> str:
    return f"{metric.heading}, {metric.unit}" if metric.unit else metric.heading


def _burden_line(figures: Figures, mode: str) -> str:
    shown = [
        f"{value:.3f}" if value is not None else "-"
        for value in (figures["test/burden/rmse"], figures["test/burden/maximum"])
    ]
    globally = [f"{s} {value:.3f}" for s in STRUCTURES if (value := figures[f"test/{s}/dice_global"]) is not None]
    return f"Dice global, mode {mode}: {', '.join(globally)}. Tumour burden: RMSE {shown[0]}, maximum {shown[1]}."
