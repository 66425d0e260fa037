"""report.html of a run: made at the end of a training, and again on request."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path

from omegaconf import DictConfig

from lightning_liver.errors import LiverError
from lightning_liver.files import write_whole
from lightning_liver.report.html.report import write_report
from lightning_liver.runs.differences import differences
from lightning_liver.runs.environment import environment
from lightning_liver.tables import write_json_whole

log = logging.getLogger(__name__)


def report(cfg: DictConfig, folder: Path) -> Path:
    """Make the report of the run of a folder again.

    Raises:
        LiverError: no run, or one of its files is damaged.
    """
    if cfg.run is None:
        raise LiverError("run is needed: liver-report run=RUN_FOLDER")
    run = Path(str(cfg.run)).expanduser()
    if not run.is_dir():
        raise LiverError(f"run={run}: no such folder")
    path = write_report(run)
    log.info(f"{path} ({path.stat().st_size / 1e6:.1f} MB)")
    return path


def wants_report(cfg: DictConfig) -> bool:
    """Whether a training makes its report.

    Raises:
        LiverError: `report` is neither true nor false.
    """
    wanted = cfg.get("report", True)  # runs of an earlier version are gone on with
    if not isinstance(wanted, bool):
        raise LiverError(f"report={wanted!r}: it is true or false")
    return wanted


def finish(run: Path, metrics: Mapping[str, float | None], *, with_report: bool) -> None:
    """Keep the environment and the defaults of a run that ends now, which cannot be known later, and make its report.

    What goes wrong is told and costs no more than the report: the scores are not lost with it.
    """
    try:
        write_json_whole(run / "environment.json", environment())
        if (differs := differences(run)) is not None:
            write_whole(run / "differs.json", json.dumps(differs, indent=1, default=str) + "\n")
        if with_report:
            log.info(f"Report: {write_report(run, metrics)}")
    except Exception as error:
        said = next(iter(str(error).splitlines()), "")
        log.warning(f"No report ({type(error).__name__}: {said}). To try again: liver-report run={run}")
