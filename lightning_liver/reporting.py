"""report.html of a run: made at the end of a training, and again on request."""

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hydra.errors import HydraException
from hydra.utils import get_method
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lightning_liver.config import compose
from lightning_liver.errors import LiverError
from lightning_liver.files import write_whole
from lightning_liver.report.environment import environment
from lightning_liver.report.settings import flat
from lightning_liver.report.tables import write_json_whole

log = logging.getLogger(__name__)

_NOT_THE_RUN = ("resume", "results", "report", "estimate", "trial")


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
    path = _write_report(run)
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
            log.info(f"Report: {_write_report(run, metrics)}")
    except Exception as error:
        said = next(iter(str(error).splitlines()), "")
        log.warning(f"No report ({type(error).__name__}: {said}). To try again: liver-report run={run}")


def differences(run: Path) -> dict[str, dict[str, list[Any]]] | None:
    """How a run's config differs from what would have been without a word: [default, own] of groups and of options.

    The defaults of options are those of the groups that the run chose, so that a choice is told once and not by all it
    brings. None for a run that was not started by a command, or whose groups are not of our conf/.
    """
    saved, hydra = (run / ".hydra" / name for name in ("config.yaml", "hydra.yaml"))
    if not (saved.is_file() and hydra.is_file()):
        return None
    chosen: Any = OmegaConf.to_container(OmegaConf.load(hydra).hydra.runtime.choices)
    try:
        default = compose("train", [], return_hydra_config=True).hydra.runtime.choices
        changed = {group: choice for group, choice in chosen.items() if _tells(group) and default.get(group) != choice}
        alone = compose("train", [f"{group}={choice}" for group, choice in changed.items()])
    except (HydraException, OmegaConfBaseException):
        return None
    own, usual = (_options(config) for config in (OmegaConf.load(saved), alone))
    return {
        "choices": {group: [default.get(group), choice] for group, choice in changed.items()},
        "options": {
            name: [usual.get(name), own.get(name)] for name in {**usual, **own} if usual.get(name) != own.get(name)
        },
    }


def _write_report(run: Path, metrics: Mapping[str, float | None] | None = None) -> Path:
    """What writes the page is imported for it: training would wait for that at its start."""
    write: Callable[..., Path] = get_method("lightning_liver.report.html.report.write_report")
    return write(run, metrics)


def _tells(group: str) -> bool:
    return not group.startswith("hydra/") and group != "experiment"


def _options(config: Any) -> dict[str, object]:
    tree: Any = OmegaConf.to_container(config)
    return flat({name: value for name, value in tree.items() if name not in (*_NOT_THE_RUN, "hydra")})
