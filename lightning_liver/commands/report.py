"""Report of a run, written at the end of training and again on request."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path

from omegaconf import DictConfig

from lightning_liver.errors import LiverError, first_line
from lightning_liver.files import refuse_links, required_run, write_whole
from lightning_liver.report.html.report import write_report
from lightning_liver.report.methods import study_text
from lightning_liver.run_folder import RunFolder
from lightning_liver.runs.contents import read_contents
from lightning_liver.runs.differences import differences
from lightning_liver.runs.environment import environment
from lightning_liver.runs.overview import training_runs
from lightning_liver.runs.status import COMPLETE
from lightning_liver.tables import write_json_whole
from lightning_liver.types.options import Switch, check

log = logging.getLogger(__name__)


def report(cfg: DictConfig, folder: Path) -> Path:
    """Write the report of a run again.

    Raises:
        LiverError: there is no run, or one of its files is damaged.
    """
    run = required_run(cfg.run)
    refuse_links(run)
    path = write_report(run)
    log.info(f"{path} ({path.stat().st_size / 1e6:.1f} MB)")
    return path


def methods(cfg: DictConfig, folder: Path) -> str:
    """Print how a run, or the complete runs of a study in the folder that `run` names, were made, in plain words.

    Raises:
        LiverError: there is no complete run, or one of its files is damaged.
    """
    place = required_run(cfg.run)
    complete = sorted(line.folder for line in training_runs([place]) if line.status == COMPLETE)
    if not complete:
        raise LiverError(
            f"run={place}: expected a complete run, or a folder of such runs; liver-runs {place} lists them"
        )
    text = study_text([read_contents(run) for run in complete])
    log.info(text)
    return text


def wants_report(cfg: DictConfig) -> bool:
    """Return True if training writes its report.

    Raises:
        LiverError: `report` is neither true nor false.
    """
    wanted: bool = check("report", cfg.get("report", True), Switch)  # missing in runs of an earlier version
    return wanted


def finish(run: Path, metrics: Mapping[str, float | None], *, with_report: bool) -> None:
    """Write environment.json and differs.json, which cannot be made later, and the report.

    An error is only logged, so that the scores are not lost.
    """
    try:
        write_json_whole(RunFolder(run).environment, environment())
        if (differs := differences(run)) is not None:
            write_whole(RunFolder(run).differs, json.dumps(differs, indent=1, default=str) + "\n")
        if with_report:
            log.info(f"Report: {write_report(run, metrics)}")
    except Exception as error:
        log.warning(f"No report ({type(error).__name__}: {first_line(error)}). To try again: liver-report run={run}")
