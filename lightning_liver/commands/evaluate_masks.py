"""Scores of masks of any tool against true ones. Imports no Lightning, so that it starts quickly."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from lightning_liver.data.sources import read_patients
from lightning_liver.errors import LiverError
from lightning_liver.evaluation.pairs import Matched, match_files
from lightning_liver.evaluation.score import PairValues, Scored, check_shapes, score_pairs
from lightning_liver.evaluation.tables import score_tables
from lightning_liver.imageio.label_values import label_values
from lightning_liver.metrics.aggregate import LESION_COLUMNS, Figures, case_rows, data_set_figures, lesion_rows
from lightning_liver.metrics.modes import mode_of
from lightning_liver.run_folder import NAMES, RunFolder
from lightning_liver.tables import write_csv, write_json_whole
from lightning_liver.types.options import Millimetres, Switch, Workers, check

log = logging.getLogger(__name__)

_MOST_LISTED = 8
_OF_RUNS = ("data", "inference", "trainer", "uncertainty=", "passes=")


def evaluate_masks(cfg: DictConfig, folder: Path) -> Figures:
    """Score label maps of any tool against true ones, paired by their names.

    Writes cases.csv, lesions.csv and metrics.json to the folder.

    Raises:
        LiverError: masks that are missing, or of no pair (unless skip_missing), whose shapes differ, or that cannot be
            read: then the tables have the other cases, and metrics.json is not written.
    """
    _refuse_options_of_runs(HydraConfig.get().overrides.task)
    _refuse_bad_options(cfg)
    matched = match_files(Path(str(cfg.truth)).expanduser(), Path(str(cfg.predictions)).expanduser())
    _report_unmatched(matched, skip_missing=cfg.skip_missing)
    check_shapes(matched.pairs)
    patients = _patients(cfg.patients, [pair.case for pair in matched.pairs])
    values = PairValues(*(label_values(_plain(cfg[name]), name) for name in ("truth_labels", "prediction_labels")))
    outcomes = score_pairs(
        matched.pairs, mode=cfg.mode, tolerance_mm=cfg.tolerance_mm, workers=cfg.workers, values=values
    )
    cases = {outcome.pair.case: outcome.score for outcome in outcomes if outcome.score is not None}
    owners = {case: patients.get(case, case) for case in cases}
    files = RunFolder(folder)
    for path, rows_of, header in ((files.cases, case_rows, ()), (files.lesions, lesion_rows, LESION_COLUMNS)):
        rows = [row for case, score in cases.items() for row in rows_of(case, owners[case], score)]
        write_csv(path, rows, header)
    _report_outcomes(outcomes, folder)
    figures = data_set_figures(list(cases.values()), "test")
    write_json_whole(files.metrics, figures | {"mode": cfg.mode, "tolerance_mm": cfg.tolerance_mm})
    tables = score_tables(list(cases.values()), list(owners.values()), figures, cfg.tolerance_mm)
    log.info(
        f"{cfg.predictions} against {cfg.truth}\n\n{tables}\n\n{folder}\n"
        f"To compare with another tool's masks, score them too: liver-compare {folder} OTHER_FOLDER"
    )
    return figures


def _patients(table: str | None, cases: Sequence[str]) -> dict[str, str]:
    """Read the patient of each listed case; a case that is not listed is its own patient, with a warning.

    Raises:
        LiverError: the table is invalid, or lists none of the cases.
    """
    if table is None:
        return {}
    patients = read_patients(table)
    alone = [case for case in cases if case not in patients]
    if len(alone) == len(cases):
        raise LiverError(
            f"patients={table}: expected cases among {_some(cases)}, found {_some(list(patients)) or 'none'}; write "
            "them as they are here, or leave it out"
        )
    if alone:
        log.warning(f"patients={table}: unlisted cases count as separate patients: {', '.join(alone)}")
    return {case: f"case-{case}" for case in alone if case in patients.values()} | patients


def _some(cases: Sequence[str]) -> str:
    return ", ".join(cases[:_MOST_LISTED]) + (f" and {len(cases) - _MOST_LISTED} more" * (len(cases) > _MOST_LISTED))


def _plain(value: Any) -> Any:
    return OmegaConf.to_container(value) if isinstance(value, DictConfig) else value


def _refuse_options_of_runs(typed: Sequence[str]) -> None:
    if others := [override for override in typed if override.startswith(_OF_RUNS)]:
        raise LiverError(f"{others[0]}: expected only with run=; leave it out")


def _refuse_bad_options(cfg: DictConfig) -> None:
    mode_of(cfg.mode)
    check("tolerance_mm", cfg.tolerance_mm, Millimetres)
    check("workers", cfg.workers, Workers | None)
    check("skip_missing", cfg.skip_missing, Switch)


def _report_unmatched(matched: Matched, *, skip_missing: bool) -> None:
    if matched.without_truth:
        log.warning(f"No truth, not scored: {', '.join(map(str, matched.without_truth))}")
    if not matched.without_prediction:
        return
    missing = f"{len(matched.without_prediction)} cases have a truth and no prediction:\n" + "\n".join(
        f"  {path}" for path in matched.without_prediction
    )
    if not skip_missing:
        raise LiverError(f"{missing}\nPredict them, or skip them with skip_missing=true.")
    log.warning(f"{missing}\nThey are skipped (skip_missing=true).")


def _report_outcomes(outcomes: Sequence[Scored], folder: Path) -> None:
    for message in dict.fromkeys(message for outcome in outcomes for message in outcome.warnings):
        log.warning(message)
    if bad := [outcome.error for outcome in outcomes if outcome.error]:
        listed = "\n".join(f"  {message}" for message in bad)
        raise LiverError(
            f"{len(bad)} of {len(outcomes)} cases could not be scored:\n{listed}\n"
            f"Correct or remove them. {NAMES.cases} and {NAMES.lesions} in {folder} have the others."
        )
