"""A fair comparison: equally many trials for each contender, one round after the other, then the tested runs."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import optuna
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn
from omegaconf import DictConfig, OmegaConf
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState

from lightning_liver.config import budget_of
from lightning_liver.errors import LiverError
from lightning_liver.run_folder import RunFolder
from lightning_liver.runs.scalars import read_curves, while_training
from lightning_liver.runs.status import json_of
from lightning_liver.runs.timing import read_timing
from lightning_liver.sweep.contenders import (
    Contender,
    Fight,
    Overrides,
    fight_of,
    repeat_of_trials,
    runs_of,
    spaces_of,
    with_settings,
)
from lightning_liver.sweep.fair_table import ContenderResult, FairResult, fair_text, write_fair
from lightning_liver.sweep.options import FairOptions, check_options, check_pruner
from lightning_liver.sweep.quasi_random import QuasiRandom, value_at
from lightning_liver.sweep.rising import is_rising
from lightning_liver.sweep.spaces import distribution
from lightning_liver.sweep.study import begin, best, in_state, locked_study, running
from lightning_liver.sweep.trials import Setup, TrialJob, identity_of, proposed, run_trials, trial_job

log = logging.getLogger(__name__)

SEARCH = "search"  # folder of the sweep with a journal for each contender


class _Search(NamedTuple):
    """The study of a contender, the folder of its journal, and what it tunes."""

    contender: Contender
    study: optuna.Study
    journal: Path
    space: Mapping[str, BaseDistribution]


def sweep(setup: Setup, arguments: Sequence[str]) -> FairResult:
    """Run the trials of all contenders, then each chosen setting with every seed and fold; what is complete stays.

    Returns:
        The content of the sweep's fair.json.

    Raises:
        LiverError: an option or a space is wrong, another process runs the sweep, a contender has no complete trial, or
            a run failed.
        HydraException, OmegaConfBaseException: a config cannot be composed.
    """
    options = check_options(FairOptions, setup.options)
    check_pruner(options)
    parser = OverridesParser.create(config_loader=setup.hydra_context.config_loader)
    fight = fight_of(options.params, arguments, parser)
    configs = [setup.compose(each.overrides) for each in fight.contenders]
    repeat = repeat_of_trials(fight.repeats, configs[0].data)
    with ExitStack() as stack:
        searches = [
            stack.enter_context(_search(setup, options, fight, repeat, contender, config))
            for contender, config in zip(fight.contenders, configs, strict=True)
        ]
        OmegaConf.save(setup.config, setup.folder / "multirun.yaml")
        result = FairResult(
            metric=options.metric,
            trials=options.trials,
            repeat=" ".join(repeat),
            budget=_budget(configs[0]),
            contenders=[],
        )
        while jobs := _next_round(searches, options, repeat):
            run_trials(setup, jobs, options.metric)
            write_fair(setup.folder, replace(result, contenders=[_searched(each, options, setup) for each in searches]))
        _refuse_without_choice(searches)
        searched = [_searched(each, options, setup) for each in searches]
        ended = _run_chosen(setup, fight, {each.contender: each.chosen for each in searched})
    result = replace(result, contenders=[_tested(each, ended, options.metric) for each in searched])
    write_fair(setup.folder, result)
    log.info(f"\n{fair_text(result)}\n\n{setup.folder}")
    for _, each in ended:
        _ = each.return_value  # raises the error of a failed run
    return result


@contextmanager
def _search(
    setup: Setup, options: FairOptions, fight: Fight, repeat: Overrides, contender: Contender, config: DictConfig
) -> Iterator[_Search]:
    """Lock and open the study of a contender."""
    typed = spaces_of(fight, config, setup.hydra_context.config_loader.repository)  # type: ignore[attr-defined]
    parser = OverridesParser.create()
    space = {name: distribution(parser.parse_override(f"{name}={text}")) for name, text in typed.items()}
    setup.compose([*contender.overrides, *(f"{name}={value_at(each, 0)}" for name, each in space.items())])
    settings = {
        "metric": options.metric,
        "trials": options.trials,
        "seed": options.seed,
        "pruner": None if options.pruner is None else OmegaConf.to_container(options.pruner),
        "space": typed,
        "budget": _budget(config),
        "config": identity_of(config),
        "repeat": repeat,
    }
    journal = setup.folder / SEARCH / contender.folder
    with locked_study(journal, direction="maximize", settings=settings) as study:
        yield _Search(contender, study, journal, space)


def _next_round(searches: Sequence[_Search], options: FairOptions, repeat: Overrides) -> list[TrialJob]:
    """Return a trial of each contender that has the fewest; none if all have had theirs.

    Pruning then depends on earlier rounds alone, however many runs are launched at once.
    """
    round_ = min(_ended(each) for each in searches)
    if round_ == options.trials:
        return []
    return [_next_job(each, options, repeat) for each in searches if _ended(each) == round_]


def _next_job(search: _Search, options: FairOptions, repeat: Overrides) -> TrialJob:
    def sampler(_: int) -> QuasiRandom:
        return QuasiRandom(list(search.space), options.seed)

    begun = running(search.study)
    trial = begun[0] if begun else begin(search.study, search.space, seed=options.seed, sampler=sampler)
    fixed = with_settings(search.contender, repeat, {})
    return trial_job(search.study, trial, fixed, options, journal=search.journal, tested=False)


def _ended(search: _Search) -> int:
    return len(search.study.get_trials()) - len(running(search.study))


def _refuse_without_choice(searches: Sequence[_Search]) -> None:
    """Refuse to test if a contender has nothing to choose from.

    Raises:
        LiverError: no trial of a contender is complete.
    """
    reasons = [
        f"{each.contender.name}: trial {trial.number}, {' '.join(proposed(trial))}: {trial.user_attrs['reason']}"
        for each in searches
        if best(each.study) is None
        for trial in each.study.get_trials()
    ]
    if reasons:
        raise LiverError("\n".join(["expected a complete trial of each contender; all of these ended early", *reasons]))


def _run_chosen(setup: Setup, fight: Fight, chosen: Mapping[str, Mapping[str, str]]) -> list[tuple[str, JobReturn]]:
    """Run the chosen setting of each contender with every seed and fold; return how each run ended."""
    runs = runs_of(fight, chosen)
    ended = setup.launcher.launch([overrides for _, overrides in runs], initial_job_idx=0)
    return [(contender.name, each) for (contender, _), each in zip(runs, ended, strict=True)]


def _searched(search: _Search, options: FairOptions, setup: Setup) -> ContenderResult:
    """Sum up the trials of a contender that have ended."""
    folders = [trial.user_attrs.get("folder") for trial in search.study.get_trials()]
    seconds = [read_timing(setup.folder / folder).fit_s or 0 for folder in folders if folder]
    chosen = best(search.study) if _ended(search) == options.trials else None
    return ContenderResult(
        contender=search.contender.name,
        trials=_ended(search),
        pruned=len(in_state(search.study, TrialState.PRUNED)),
        failed=len(in_state(search.study, TrialState.FAIL)),
        search_s=round(sum(seconds), 1),
        chosen={} if chosen is None else {name: str(value) for name, value in chosen.params.items()},
        score=None if chosen is None else chosen.value,
        at_end=[] if chosen is None else [name for name in search.space if _is_at_end(search, chosen, name)],
    )


def _is_at_end(search: _Search, chosen: FrozenTrial, name: str) -> bool:
    """Return True if a chosen number is the lowest or highest that the contender tried."""
    tried = [trial.params[name] for trial in search.study.get_trials()]
    return not isinstance(search.space[name], CategoricalDistribution) and chosen.params[name] in (
        min(tried),
        max(tried),
    )


def _tested(result: ContenderResult, ended: Sequence[tuple[str, JobReturn]], metric: str) -> ContenderResult:
    """Add the validation curves of a contender's tested runs."""
    runs = [each.hydra_cfg for name, each in ended if name == result.contender]
    folders = [Path(str(config.hydra.runtime.output_dir)) for config in runs if config is not None]
    return replace(result, rising=[_was_rising(RunFolder(each), metric) for each in folders])


def _was_rising(run: RunFolder, metric: str) -> bool | None:
    """Return True if the validation curve of a run was rising at its end; None if that is unknown."""
    metrics = json_of(run.metrics)
    if metrics is None:
        return None
    curve = while_training(read_curves(run).get(metric, ()), metrics["steps"])
    return is_rising(list({point.step: point.value for point in curve}.values()))


def _budget(config: DictConfig) -> str:
    name = budget_of(config.trainer)
    return f"{config.trainer[name]:g} {name.removeprefix('max_')}"
