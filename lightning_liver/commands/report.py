"""Report of a run, written at the end of training and again on request."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path

from omegaconf import DictConfig

from lightning_liver.errors import first_line
from lightning_liver.files import required_run, write_whole
from lightning_liver.report.html.report import write_report
from lightning_liver.run_folder import RunFolder
from lightning_liver.runs.differences import differences
from lightning_liver.runs.environment import environment
from lightning_liver.tables import write_json_whole
from lightning_liver.types.options import Switch, check

log = logging.getLogger(__name__)


def report(cfg: DictConfig, folder: Path) -> Path:
    """Write the report of a run again.

    Raises:
        LiverError: there is no run, or one of its files is damaged.
    """
    path = write_report(required_run(cfg.run))
    log.info(f"{path} ({path.stat().st_size / 1e6:.1f} MB)")
    return path


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
