"""Search by Optuna: command line -> spaces, proposals -> trials, and at last the best trial."""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import TrialState

from lightning_liver.errors import LiverError
from lightning_liver.files import write_whole
from lightning_liver.sweep.options import SearchOptions, check_options, check_pruner, sampler_of
from lightning_liver.sweep.spaces import distribution
from lightning_liver.sweep.study import begin, best, in_state, locked_study, running
from lightning_liver.sweep.trials import Setup, TrialJob, identity_of, proposed, run_trials, trial_job

log = logging.getLogger(__name__)

RESULTS = "optimization_results.yaml"


def sweep(setup: Setup, arguments: Sequence[str]) -> dict[str, Any]:
    """Run trials until the study has the requested number; trials that were begun earlier come first.

    Returns:
        The content of the study's optimization_results.yaml.

    Raises:
        LiverError: an option or a space is wrong, another process runs the study, or trials failed.
        HydraException, OmegaConfBaseException: a trial's config cannot be composed.
    """
    options = check_options(SearchOptions, setup.options)
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
        "config": identity_of(setup.compose(fixed)),
    }
    folder = setup.folder
    with locked_study(folder, direction=options.direction, settings=settings) as study:
        OmegaConf.save(setup.config, folder / "multirun.yaml")
        while jobs := _next_jobs(study, options, space, fixed, sampler, folder):
            run_trials(setup, jobs, options.metric)
        return _conclude(study, options, folder)


def _next_jobs(
    study: optuna.Study,
    options: SearchOptions,
    space: Mapping[str, BaseDistribution],
    fixed: list[str],
    sampler: Callable[[int], BaseSampler],
    folder: Path,
) -> list[TrialJob]:
    trials = running(study)[: options.n_jobs]
    more = min(options.n_jobs - len(trials), options.n_trials - len(study.get_trials()))
    trials += [begin(study, space, seed=options.seed, sampler=sampler) for _ in range(more)]
    return [trial_job(study, trial, fixed, options, journal=folder, tested=True) for trial in trials]


def _conclude(study: optuna.Study, options: SearchOptions, folder: Path) -> dict[str, Any]:
    best_trial = best(study)
    failed = in_state(study, TrialState.FAIL)
    states = {state.name.lower(): len(in_state(study, state)) for state in (TrialState.COMPLETE, TrialState.PRUNED)}
    results: dict[str, Any] = {"trials": states | {"failed": len(failed)}, "metric": options.metric}
    if best_trial is not None:
        results["best"] = {
            "trial": best_trial.number,
            "value": best_trial.value,
            "overrides": proposed(best_trial),
            "folder": best_trial.user_attrs["folder"],
        }
        log.info(
            f"Best: trial {best_trial.number}, {options.metric}={best_trial.value}, "
            f"{' '.join(proposed(best_trial))}\n{folder / best_trial.user_attrs['folder']}"
        )
    write_whole(folder / RESULTS, OmegaConf.to_yaml(OmegaConf.create(results)))
    if failed:
        reasons = [f"trial {t.number}, {' '.join(proposed(t))}: {t.user_attrs['reason']}" for t in failed]
        raise LiverError("\n".join([f"{len(failed)} of {len(study.get_trials())} trials failed", *reasons]))
    return results
