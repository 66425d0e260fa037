"""Trials of a search: overrides -> jobs of Hydra, and the outcome of each job -> its study."""

import io
import logging
import math
from collections.abc import Sequence
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any, NamedTuple

import optuna
from hydra.core.utils import JobReturn
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from optuna.trial import FrozenTrial

from lightning_liver.config import identity, typed
from lightning_liver.errors import LiverError, Pruned, Unfinished
from lightning_liver.sweep.options import TrialOptions
from lightning_liver.sweep.study import JOURNAL, tell

log = logging.getLogger(__name__)


class Setup(NamedTuple):
    """Hydra's parts that a sweep needs, and the options of its hydra/sweeper."""

    options: dict[str, Any]
    config: DictConfig
    hydra_context: HydraContext
    launcher: Launcher

    @property
    def folder(self) -> Path:
        """Folder of the sweep."""
        return Path(str(self.config.hydra.sweep.dir)).resolve()

    def compose(self, overrides: Sequence[str]) -> DictConfig:
        """Compose the config of a job, with Hydra's own part.

        Raises:
            HydraException, OmegaConfBaseException: it cannot be composed.
        """
        return self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))


class TrialJob(NamedTuple):
    """A trial with its study and the overrides of its run."""

    study: optuna.Study
    trial: FrozenTrial
    overrides: list[str]


def identity_of(config: DictConfig) -> str:
    """Return the identity of a composed config without Hydra's part."""
    return identity(OmegaConf.masked_copy(config, [str(name) for name in config if name != "hydra"]))


def proposed(trial: FrozenTrial) -> list[str]:
    """Return the overrides that a trial proposes."""
    return [f"{name}={value}" for name, value in trial.params.items()]


def trial_job(
    study: optuna.Study, trial: FrozenTrial, fixed: Sequence[str], options: TrialOptions, *, journal: Path, tested: bool
) -> TrialJob:
    """Return the job of a trial, which reports its scores.

    Args:
        fixed: overrides that all trials of the study share.
        journal: folder of the study's journal.
        tested: False ends the run after its validation.
    """
    reporter = {
        "_target_": "lightning_liver.sweep.reporter.TrialReporter",
        "journal": str(journal / JOURNAL),
        "study": study.study_name,
        "number": trial.number,
        "metric": options.metric,
        "pruner": None if options.pruner is None else OmegaConf.to_container(options.pruner, resolve=True),
        "tested": tested,
    }
    return TrialJob(study, trial, [*fixed, *proposed(trial), f"trial={typed(reporter)}"])


def run_trials(setup: Setup, jobs: Sequence[TrialJob], metric: str) -> None:
    """Launch jobs together and tell their studies how they ended; those that were stopped stay running.

    Raises:
        Unfinished: a run was stopped, or another process has its folder.
        HydraException, OmegaConfBaseException: a config cannot be composed; nothing was launched.
    """
    for job in jobs:
        try:
            setup.compose(job.overrides)
        except (HydraException, OmegaConfBaseException) as error:
            tell(job.study, job.trial, notes={"reason": str(error)})
            raise
    results = setup.launcher.launch([job.overrides for job in jobs], initial_job_idx=jobs[0].trial.number)
    ends = [_tell(job, result, metric, setup.folder) for job, result in zip(jobs, results, strict=True)]
    for unfinished in filter(None, ends):
        raise unfinished


def _tell(job: TrialJob, result: JobReturn, metric: str, folder: Path) -> Unfinished | None:
    """Tell the study how a job ended; leave an unfinished one running and return its error."""
    value, error = _outcome(result, metric)
    if isinstance(error, Unfinished):
        return error
    assert result.hydra_cfg is not None
    run = Path(str(result.hydra_cfg.hydra.runtime.output_dir)).relative_to(folder)
    notes = {"folder": str(run)} | ({"reason": _reason(error)} if error is not None else {})
    ended = tell(job.study, job.trial, value=value, pruned=isinstance(error, Pruned), notes=notes)
    outcome = f"{metric}={value}" if error is None else f"{ended.state.name}: {_reason(error)}"
    unforeseen = error if error is not None and not isinstance(error, LiverError | Pruned) else None
    log.info(f"Trial {ended.number}, {' '.join(proposed(ended))}: {outcome}", exc_info=unforeseen)
    return None


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, LiverError | Pruned) else f"{type(error).__name__}: {error}"


def _outcome(result: JobReturn, metric: str) -> tuple[float | None, Exception | None]:
    try:
        with redirect_stderr(io.StringIO()):  # Hydra repeats the command line
            metrics = result.return_value
    except Exception as error:
        return None, error
    value = metrics.get(metric) if isinstance(metrics, dict) else None
    if value is None or not math.isfinite(value):
        return None, LiverError(f"{metric}={value}: expected a finite score to compare")
    return float(value), None
