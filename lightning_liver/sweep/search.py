"""Search by Optuna: command line -> spaces, proposals -> jobs, metrics -> study, and at last the best trial."""

import io
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any, NamedTuple

import optuna
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from lightning_liver.config import identity, typed
from lightning_liver.errors import LiverError, Pruned, Unfinished
from lightning_liver.files import write_whole
from lightning_liver.sweep.options import SearchOptions, check_options, check_pruner, sampler_of
from lightning_liver.sweep.spaces import distribution
from lightning_liver.sweep.study import JOURNAL, begin, best, in_state, locked_study, running, tell

log = logging.getLogger(__name__)

RESULTS = "optimization_results.yaml"


class Setup(NamedTuple):
    """Hydra's parts that a sweep needs, and the options of hydra/sweeper=optuna."""

    options: dict[str, Any]
    config: DictConfig
    hydra_context: HydraContext
    launcher: Launcher


class _Job(NamedTuple):
    """A trial and its overrides."""

    trial: FrozenTrial
    overrides: list[str]


def sweep(setup: Setup, arguments: Sequence[str]) -> dict[str, Any]:
    """Run trials until the study has the requested number; trials that were begun earlier come first.

    Returns:
        The content of the study's optimization_results.yaml.

    Raises:
        LiverError: an option or a space is wrong, another process runs the study, or trials failed.
        HydraException, OmegaConfBaseException: a trial's config cannot be composed.
    """
    options = check_options(setup.options)
    parser = OverridesParser.create(config_loader=setup.hydra_context.config_loader)
    given = {o.get_key_element(): o for o in parser.parse_overrides(list(arguments))}  # the last one of a name wins
    space = {name: distribution(o) for name, o in given.items() if o.is_sweep_override()}
    fixed = [str(o.input_line) for o in given.values() if not o.is_sweep_override()]
    if not space:
        raise LiverError(
            "hydra/sweeper=optuna: expected a space to search; give 'optimizer.lr=tag(log,interval(1e-4,1e-2))'"
        )
    sampler = sampler_of(options)
    check_pruner(options)
    settings = {
        "metric": options.metric,
        "direction": options.direction,
        "seed": options.seed,
        "space": {name: given[name].get_value_string() for name in sorted(space)},
        "config": _identity(setup, fixed),
    }
    folder = Path(str(setup.config.hydra.sweep.dir)).resolve()
    with locked_study(folder, direction=options.direction, settings=settings) as study:
        OmegaConf.save(setup.config, folder / "multirun.yaml")
        while jobs := _next_jobs(study, options, space, fixed, sampler, folder):
            _run(setup, study, options, jobs, folder)
        return _conclude(study, options, folder)


def _identity(setup: Setup, fixed: list[str]) -> str:
    """Return the identity of the config that all trials share."""
    config = setup.hydra_context.config_loader.load_sweep_config(setup.config, fixed)
    return identity(OmegaConf.masked_copy(config, [str(name) for name in config if name != "hydra"]))


def _next_jobs(
    study: optuna.Study,
    options: SearchOptions,
    space: Mapping[str, BaseDistribution],
    fixed: list[str],
    sampler: Callable[[int], BaseSampler],
    folder: Path,
) -> list[_Job]:
    trials = running(study)[: options.n_jobs]
    more = min(options.n_jobs - len(trials), options.n_trials - len(study.get_trials()))
    trials += [begin(study, space, seed=options.seed, sampler=sampler) for _ in range(more)]
    return [_job(study, options, fixed, trial, folder) for trial in trials]


def _job(study: optuna.Study, options: SearchOptions, fixed: list[str], trial: FrozenTrial, folder: Path) -> _Job:
    reporter = {
        "_target_": "lightning_liver.sweep.reporter.TrialReporter",
        "journal": str(folder / JOURNAL),
        "study": study.study_name,
        "number": trial.number,
        "metric": options.metric,
        "pruner": None if options.pruner is None else OmegaConf.to_container(options.pruner, resolve=True),
    }
    return _Job(trial, [*fixed, *_overrides(trial), f"trial={typed(reporter)}"])


def _overrides(trial: FrozenTrial) -> list[str]:
    return [f"{name}={value}" for name, value in trial.params.items()]


def _run(setup: Setup, study: optuna.Study, options: SearchOptions, jobs: list[_Job], folder: Path) -> None:
    for job in jobs:
        try:
            setup.hydra_context.config_loader.load_sweep_config(setup.config, job.overrides)
        except (HydraException, OmegaConfBaseException) as error:
            tell(study, job.trial, notes={"reason": str(error)})
            raise
    results = setup.launcher.launch([job.overrides for job in jobs], initial_job_idx=jobs[0].trial.number)
    ends = [_tell(study, options, job, result, folder) for job, result in zip(jobs, results, strict=True)]
    for unfinished in filter(None, ends):
        raise unfinished


def _tell(study: optuna.Study, options: SearchOptions, job: _Job, result: JobReturn, folder: Path) -> Unfinished | None:
    """Tell the study how a job ended; leave an unfinished one running and return its error."""
    value, error = _outcome(result, options.metric)
    if isinstance(error, Unfinished):
        return error
    assert result.hydra_cfg is not None
    run = Path(str(result.hydra_cfg.hydra.runtime.output_dir)).relative_to(folder)
    notes = {"folder": str(run)} | ({"reason": _reason(error)} if error is not None else {})
    ended = tell(study, job.trial, value=value, pruned=isinstance(error, Pruned), notes=notes)
    outcome = f"{options.metric}={value}" if error is None else f"{ended.state.name}: {_reason(error)}"
    unforeseen = error if error is not None and not isinstance(error, LiverError | Pruned) else None
    log.info(f"Trial {ended.number}, {' '.join(_overrides(ended))}: {outcome}", exc_info=unforeseen)
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


def _conclude(study: optuna.Study, options: SearchOptions, folder: Path) -> dict[str, Any]:
    best_trial = best(study)
    failed = in_state(study, TrialState.FAIL)
    states = {state.name.lower(): len(in_state(study, state)) for state in (TrialState.COMPLETE, TrialState.PRUNED)}
    results: dict[str, Any] = {"trials": states | {"failed": len(failed)}, "metric": options.metric}
    if best_trial is not None:
        results["best"] = {
            "trial": best_trial.number,
            "value": best_trial.value,
            "overrides": _overrides(best_trial),
            "folder": best_trial.user_attrs["folder"],
        }
        log.info(
            f"Best: trial {best_trial.number}, {options.metric}={best_trial.value}, "
            f"{' '.join(_overrides(best_trial))}\n{folder / best_trial.user_attrs['folder']}"
        )
    write_whole(folder / RESULTS, OmegaConf.to_yaml(OmegaConf.create(results)))
    if failed:
        reasons = [f"trial {t.number}, {' '.join(_overrides(t))}: {t.user_attrs['reason']}" for t in failed]
        raise LiverError("\n".join([f"{len(failed)} of {len(study.get_trials())} trials failed", *reasons]))
    return results
