"""hydra/sweeper=optuna: command line -> spaces, proposals -> jobs, their metrics -> the study; the best one last."""

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
from lightning_liver.sweep.options import Options, check_pruner, options_of, sampler_of
from lightning_liver.sweep.spaces import distribution
from lightning_liver.sweep.study import JOURNAL, alone_with, begin, best, in_state, running, tell

log = logging.getLogger(__name__)

RESULTS = "optimization_results.yaml"


class Setup(NamedTuple):
    """Hydra's parts that a sweep needs, and the options of hydra/sweeper=optuna."""

    options: dict[str, Any]
    config: DictConfig
    hydra_context: HydraContext
    launcher: Launcher


class _Job(NamedTuple):
    """A trial and what is typed for it."""

    trial: FrozenTrial
    overrides: list[str]


def sweep(setup: Setup, arguments: Sequence[str]) -> dict[str, Any]:
    """Run trials until the study has as many as were asked for; what was begun earlier comes first.

    Returns:
        What is also in the study's optimization_results.yaml.

    Raises:
        LiverError: an option or a space is wrong, another process runs the study, or trials failed.
        HydraException, OmegaConfBaseException: a trial's config cannot be composed.
    """
    options = options_of(setup.options)
    parser = OverridesParser.create(config_loader=setup.hydra_context.config_loader)
    given = {o.get_key_element(): o for o in parser.parse_overrides(list(arguments))}  # the last one of a name wins
    space = {name: distribution(o) for name, o in given.items() if o.is_sweep_override()}
    fixed = [str(o.input_line) for o in given.values() if not o.is_sweep_override()]
    if not space:
        raise LiverError("hydra/sweeper=optuna needs a space to search: 'optimizer.lr=tag(log,interval(1e-4,1e-2))'")
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
    with alone_with(folder, direction=options.direction, settings=settings) as study:
        OmegaConf.save(setup.config, folder / "multirun.yaml")
        while jobs := _next_jobs(study, options, space, fixed, sampler, folder):
            _run(setup, study, options, jobs, folder)
        return _conclude(study, options, folder)


def _identity(setup: Setup, fixed: list[str]) -> str:
    """Of what all trials share."""
    config = setup.hydra_context.config_loader.load_sweep_config(setup.config, fixed)
    return identity(OmegaConf.masked_copy(config, [str(name) for name in config if name != "hydra"]))


def _next_jobs(
    study: optuna.Study,
    options: Options,
    space: Mapping[str, BaseDistribution],
    fixed: list[str],
    sampler: Callable[[int], BaseSampler],
    folder: Path,
) -> list[_Job]:
    trials = running(study)[: options.n_jobs]
    more = min(options.n_jobs - len(trials), options.n_trials - len(study.get_trials()))
    trials += [begin(study, space, seed=options.seed, sampler=sampler) for _ in range(more)]
    return [_job(study, options, fixed, trial, folder) for trial in trials]


def _job(study: optuna.Study, options: Options, fixed: list[str], trial: FrozenTrial, folder: Path) -> _Job:
    reports = {
        "_target_": "lightning_liver.sweep.reporter.Reports",
        "journal": str(folder / JOURNAL),
        "study": study.study_name,
        "number": trial.number,
        "metric": options.metric,
        "pruner": None if options.pruner is None else OmegaConf.to_container(options.pruner, resolve=True),
    }
    return _Job(trial, [*fixed, *_overrides(trial), f"trial={typed(reports)}"])


def _overrides(trial: FrozenTrial) -> list[str]:
    return [f"{name}={value}" for name, value in trial.params.items()]


def _run(setup: Setup, study: optuna.Study, options: Options, jobs: list[_Job], folder: Path) -> None:
    for job in jobs:
        try:
            setup.hydra_context.config_loader.load_sweep_config(setup.config, job.overrides)
        except (HydraException, OmegaConfBaseException) as error:
            tell(study, job.trial, about={"reason": str(error)})
            raise
    returns = setup.launcher.launch([job.overrides for job in jobs], initial_job_idx=jobs[0].trial.number)
    ends = [_tell(study, options, job, back, folder) for job, back in zip(jobs, returns, strict=True)]
    for stopped in filter(None, ends):
        raise stopped


def _tell(study: optuna.Study, options: Options, job: _Job, back: JobReturn, folder: Path) -> Unfinished | None:
    """Tell the study how a job ended; one that only stopped stays as it is, and is handed back."""
    value, error = _outcome(back, options.metric)
    if isinstance(error, Unfinished):
        return error
    assert back.hydra_cfg is not None
    run = Path(str(back.hydra_cfg.hydra.runtime.output_dir)).relative_to(folder)
    about = {"folder": str(run)} | ({"reason": _reason(error)} if error is not None else {})
    told = tell(study, job.trial, value=value, pruned=isinstance(error, Pruned), about=about)
    known = f"{options.metric}={value}" if error is None else f"{told.state.name}: {_reason(error)}"
    unforeseen = error if error is not None and not isinstance(error, LiverError | Pruned) else None
    log.info(f"Trial {told.number}, {' '.join(_overrides(told))}: {known}", exc_info=unforeseen)
    return None


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, LiverError | Pruned) else f"{type(error).__name__}: {error}"


def _outcome(back: JobReturn, metric: str) -> tuple[float | None, Exception | None]:
    try:
        with redirect_stderr(io.StringIO()):  # Hydra repeats the command line
            metrics = back.return_value
    except Exception as error:
        return None, error
    value = metrics.get(metric) if isinstance(metrics, dict) else None
    if value is None or not math.isfinite(value):
        return None, LiverError(f"{metric} is {value}: no score to compare")
    return float(value), None


def _conclude(study: optuna.Study, options: Options, folder: Path) -> dict[str, Any]:
    chosen = best(study)
    failed = in_state(study, TrialState.FAIL)
    states = {state.name.lower(): len(in_state(study, state)) for state in (TrialState.COMPLETE, TrialState.PRUNED)}
    results: dict[str, Any] = {"trials": states | {"failed": len(failed)}, "metric": options.metric}
    if chosen is not None:
        results["best"] = {
            "trial": chosen.number,
            "value": chosen.value,
            "overrides": _overrides(chosen),
            "folder": chosen.user_attrs["folder"],
        }
        log.info(
            f"Best: trial {chosen.number}, {options.metric}={chosen.value}, {' '.join(_overrides(chosen))}\n"
            f"{folder / chosen.user_attrs['folder']}"
        )
    write_whole(folder / RESULTS, OmegaConf.to_yaml(OmegaConf.create(results)))
    if failed:
        reasons = [f"trial {t.number}, {' '.join(_overrides(t))}: {t.user_attrs['reason']}" for t in failed]
        raise LiverError("\n".join([f"{len(failed)} of {len(study.get_trials())} trials failed", *reasons]))
    return results
