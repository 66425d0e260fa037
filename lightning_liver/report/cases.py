"""Tested cases of a run: rows of its tables, the table printed at the end, pictures of best, median and worst case."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from lightning_liver.data.resample import resample_hu
from lightning_liver.data.splits import Split
from lightning_liver.data.store import CaseRecord, Store
from lightning_liver.metrics.aggregate import LESION_COLUMNS, case_rows, data_set_figures, lesion_rows
from lightning_liver.metrics.calibration import Bins, calibration_rows
from lightning_liver.metrics.case_score import CaseScore
from lightning_liver.metrics.intervals import FRACTION, mean_over_patients
from lightning_liver.report.mistakes import count_mistakes
from lightning_liver.report.pictures import PictureSlice, best_median_worst, write_pictures
from lightning_liver.run_folder import RunFolder
from lightning_liver.tables import Row, text_table, write_csv
from lightning_liver.types import STRUCTURES


class ShownSlice(NamedTuple):
    """A slice and the predicted labels on it, on the scan's own grid."""

    z: int
    labels: UInt8[np.ndarray, "y x"]


class ShownSlices(NamedTuple):
    """Slices of a case for its pictures: one with most tumour, and one with most mistakes."""

    representative: ShownSlice
    worst: ShownSlice


def shown_slices(
    record: CaseRecord, truth: UInt8[np.ndarray, "z y x"], prediction: UInt8[np.ndarray, "z y x"]
) -> ShownSlices:
    """Choose the slices of a case to show, from its labels on the scan's own grid."""
    wrong = count_mistakes(truth, prediction)
    chosen = (representative_slice(record), wrong.index(max(wrong)))
    representative, worst = (ShownSlice(z, prediction[z].copy()) for z in chosen)
    return ShownSlices(representative, worst)


def write_scores(folder: Path, store: Store, scores: Mapping[str, CaseScore], calibration: Bins) -> list[Row]:
    """Write cases.csv, lesions.csv and calibration.csv of scored cases; return the rows of the first."""
    patients = {case: store.cases[case].patient for case in scores}
    rows: list[Row] = [row for case, score in scores.items() for row in case_rows(case, patients[case], score)]
    lesions: list[Row] = [row for case, score in scores.items() for row in lesion_rows(case, patients[case], score)]
    run = RunFolder(folder)
    write_csv(run.cases, rows)
    write_csv(run.lesions, lesions, LESION_COLUMNS)
    write_csv(run.calibration, calibration_rows(calibration))
    return rows


def write_cases(
    folder: Path,
    store: Store,
    split: Split,
    *,
    scores: Mapping[str, CaseScore],
    calibration: Bins,
    losses: Mapping[str, Sequence[float]],
    shown: Mapping[str, ShownSlices],
    window_hu: tuple[float, float],
) -> list[Row]:
    """Write every table and picture of a run's tested cases into its folder; return the rows of cases.csv.

    Args:
        losses: values by loss, one for each test case of the split; without any there is no losses.csv.
        shown: slices of each case.
    """
    files = RunFolder(folder)
    write_csv(files.data, data_rows(store, split))
    rows = write_scores(folder, store, scores, calibration)
    if losses:
        write_csv(files.losses, loss_rows(store, split.test, losses))
    draw_cases(files.pictures, store, rows, shown, window_hu)
    return rows


def run_figures(scores: Mapping[str, CaseScore]) -> dict[str, float | None]:
    """Return the scores of the data set as metrics.json names them, with the mean Dice of liver and tumour."""
    figures = data_set_figures(list(scores.values()), "test")
    dices = [figures[f"test/{structure}/dice_per_case"] or 0.0 for structure in STRUCTURES]
    return figures | {"test/mean/dice_per_case": sum(dices) / len(dices)}


def data_rows(store: Store, split: Split) -> list[Row]:
    """Return a row for each case that was found: part, patient and the scan's own grid.

    The part is one of the split or, of cases outside of it, unused, unlabelled or refused, with the reason.
    """
    parts = dict(split.to_dict())
    used = {name for names in parts.values() for name in names}
    others = [name for name in store.cases if name not in used]
    parts["unused"] = [name for name in others if store.cases[name].labelled]
    parts["unlabelled"] = [name for name in others if not store.cases[name].labelled]
    refused: list[Row] = [
        {"part": "refused", "case": c.name, "patient": c.patient, "reason": c.reason} for c in store.refused
    ]
    known: list[Row] = [
        {
            "part": part,
            "case": name,
            "patient": record.patient,
            "patient_known": record.patient_known,
            "slices": record.native_shape[0],
            "rows": record.native_shape[1],
            "columns": record.native_shape[2],
            "slice_mm": record.native_spacing_mm[0],
            "pixel_mm": record.native_spacing_mm[2],
            "liver_slices": sum(pixels > 0 for pixels in record.liver_pixels),
            "tumour_slices": sum(pixels > 0 for pixels in record.tumour_pixels),
            "reason": None,
        }
        for part, names in parts.items()
        for name, record in ((name, store.cases[name]) for name in names)
    ]
    return known + refused


def loss_rows(store: Store, cases: Sequence[str], losses: Mapping[str, Sequence[float]]) -> list[Row]:
    """Return a row for each case and measured loss; None if a loss is not finite."""
    return [
        {"case": case, "patient": store.cases[case].patient, "loss": name, "value": values[c]}
        for c, case in enumerate(cases)
        for name, values in losses.items()
    ]


def result_table(rows: Sequence[Row]) -> str:
    """Return a table with the Dice of each case, then the mean over patients with its 95 % interval."""
    by_case: dict[str, dict[str, Row]] = {}
    for row in rows:
        by_case.setdefault(str(row["case"]), {})[str(row["structure"])] = row
    lines: list[Row] = [
        {"case": case, "patient": row["liver"]["patient"]} | {f"{s} Dice": row[s]["dice"] for s in STRUCTURES}
        for case, row in by_case.items()
    ]
    if not lines:
        return "No test cases."
    means = {s: mean_over_patients(*_scores(rows, s), FRACTION) for s in STRUCTURES}
    lines.append({"case": "mean over patients", "patient": ""} | {f"{s} Dice": means[s].mean for s in STRUCTURES})
    for end in ("low", "high"):
        lines.append({"case": f"95 % {end}", "patient": ""} | {f"{s} Dice": getattr(means[s], end) for s in STRUCTURES})
    return text_table(lines)


def representative_slice(record: CaseRecord, among: Sequence[int] | None = None) -> int:
    """Choose the slice with most tumour, else with most liver, else the middle one; of all slices or `among` some."""
    places = list(range(record.shape[0]) if among is None else among)
    for pixels in (record.tumour_pixels, record.liver_pixels):
        if pixels and any(pixels[z] for z in places):
            return max(places, key=lambda z: pixels[z])
    return places[len(places) // 2]


def draw_cases(
    folder: Path,
    store: Store,
    rows: Sequence[Row],
    slices: Mapping[str, ShownSlices],
    window_hu: tuple[float, float],
) -> None:
    """Draw the best, median and worst case by the mean Dice of liver and tumour; the worst where most is wrong."""
    folder.mkdir(parents=True, exist_ok=True)
    scores = {case: {str(r["structure"]): float(r["dice"] or 0) for r in rows if r["case"] == case} for case in slices}
    chosen = best_median_worst({case: sum(dice.values()) / len(dice) for case, dice in scores.items()})
    for role, case in chosen.items():
        z, prediction = slices[case].worst if role == "worst" else slices[case].representative
        record = store.cases[case]
        shown = PictureSlice(
            case=f"case {case}",
            z=z,
            hu=resample_hu(store.read(case, "hu", z), (record.native_shape[1], record.native_shape[2])),
            truth=store.read(case, "native_labels", z),
            prediction=prediction,
            spacing_mm=(record.native_spacing_mm[1], record.native_spacing_mm[2]),
            dice=scores[case],
        )
        write_pictures(folder, f"{role}-case-{case}", shown, window_hu=window_hu)


def _scores(rows: Sequence[Row], structure: str) -> tuple[list[float], list[str]]:
    mine = [row for row in rows if row["structure"] == structure]
    return [float(row["dice"] or 0) for row in mine], [str(row["patient"]) for row in mine]
