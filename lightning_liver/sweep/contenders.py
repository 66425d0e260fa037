"""Contenders of a fair comparison: command line -> contenders, their repeats, and what each of them tunes."""

import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from itertools import product
from typing import Any, NamedTuple

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

from lightning_liver.config import REPEATS
from lightning_liver.errors import LiverError

TUNE = "tune"  # the folder of conf/ with a file for each choice that has something to tune

_SEED, _FOLD = REPEATS
_FIRST = "optimizer.lr"  # of the proposals: every contender then meets the same learning rates

Overrides = list[str]


class Contender(NamedTuple):
    """One of the configurations that are compared; `name` has what differs, `overrides` all but seed and fold."""

    name: str
    overrides: Overrides

    @property
    def folder(self) -> str:
        """Return the name of a folder of its own."""
        readable = re.sub(r"[^A-Za-z0-9.+-]+", "-", self.name.replace("=", "-")).strip("-")
        return f"{readable[:80]}-{sha256(self.name.encode()).hexdigest()[:8]}"


class Fight(NamedTuple):
    """Contenders that a command line compares, and how often.

    Args:
        repeats: overrides of seed and fold, with which each contender runs.
        spaces: what every contender tunes, as typed.
        given: options that have a value, or several to compare, so that nobody tunes them.
    """

    contenders: list[Contender]
    repeats: list[Overrides]
    spaces: dict[str, str]
    given: frozenset[str]


def fight_of(params: Mapping[str, Any] | None, arguments: Sequence[str], parser: OverridesParser) -> Fight:
    """Return what a command line compares: all combinations of the values that are separated by commas.

    Args:
        params: the sweep of an experiment, over which the arguments win.

    Raises:
        LiverError: fewer than two contenders.
        HydraException: an override cannot be parsed.
    """
    swept = [f"{name}={value}" for name, value in (params or {}).items()]
    given = {
        o.get_key_element(): o for o in parser.parse_overrides([*swept, *arguments])
    }  # the last one of a name wins
    spaces = {name: o for name, o in given.items() if o.is_sweep_override() and not o.is_discrete_sweep()}
    own = [o for name, o in given.items() if name not in (*REPEATS, *spaces)]
    several = {o.get_key_element() for o in own if o.is_sweep_override()}
    contenders = [
        Contender(" ".join(each for each in job if each.partition("=")[0] in several), job) for job in _jobs(own)
    ]
    if len(contenders) < 2:
        raise LiverError("hydra/sweeper=fair: expected contenders to compare; give values with commas: loss=dice,focal")
    return Fight(
        contenders,
        _jobs([o for name, o in given.items() if name in REPEATS]),
        {name: o.get_value_string() for name, o in spaces.items()},
        frozenset(given) - frozenset(spaces),
    )


def repeat_of_trials(repeats: Sequence[Overrides], data: DictConfig) -> Overrides:
    """Return the seed and fold of all trials: the first seed, the first fold whose validation patients are not tested.

    With other folds a setting could be chosen by the scores of patients that it is tested on later.

    Args:
        data: options of the data; a split by names has its own validation patients.

    Raises:
        LiverError: the validation patients of each fold are tested in another one.
    """
    tested = [int(value) for each in repeats for value in _value(each, _FOLD)]
    seed = _value(repeats[0], _SEED)
    if data.split is not None or not tested:
        return repeats[0]
    for each in repeats:
        [fold] = _value(each, _FOLD)
        if _value(each, _SEED) == seed and (int(fold) + 1) % data.folds not in tested:
            return each
    raise LiverError(
        f"data.fold={','.join(map(str, dict.fromkeys(tested)))}: expected a fold whose validation patients, "
        f"those of the next fold, are never tested, since they choose the settings; leave out one of {data.folds} folds"
    )


def spaces_of(fight: Fight, config: DictConfig, repository: Any) -> dict[str, str]:
    """Return what a contender tunes, as it is typed: the spaces of its choices in conf/tune and of the command line.

    Args:
        config: of the contender, with Hydra's own part.
        repository: Hydra's, of all folders with configs.

    Raises:
        LiverError: nothing to tune.
    """
    files = [f"{TUNE}/{group}/{choice}" for group, choice in config.hydra.runtime.choices.items()]
    found = [repository.load_config(file) for file in files]
    declared = {str(name): str(space) for each in found if each is not None for name, space in each.config.items()}
    spaces = {name: space for name, space in declared.items() if name not in fight.given} | fight.spaces
    if not spaces:
        raise LiverError(
            "hydra/sweeper=fair: expected something to tune; give 'optimizer.lr=tag(log,interval(1e-4,1e-2))' and no "
            f"single value of it, or write {TUNE}/optimizer/{config.hydra.runtime.choices.optimizer}.yaml "
            "into the folder of --config-dir"
        )
    return {name: spaces[name] for name in sorted(spaces, key=lambda name: (name != _FIRST, name))}


def runs_of(fight: Fight, chosen: Mapping[str, Mapping[str, str]]) -> list[tuple[Contender, Overrides]]:
    """Return the overrides of the runs that are tested, all contenders for one seed and fold after the other.

    Args:
        chosen: the chosen settings of contenders by their names; the others run with their defaults.
    """
    return [
        (contender, with_settings(contender, repeat, chosen.get(contender.name, {})))
        for repeat in fight.repeats
        for contender in fight.contenders
    ]


def with_settings(contender: Contender, repeat: Overrides, settings: Mapping[str, str]) -> Overrides:
    """Return the overrides of a run; trials and tested runs with the same ones share a folder."""
    return [*contender.overrides, *repeat, *(f"{name}={value}" for name, value in settings.items())]


def _jobs(overrides: list[Override]) -> list[Overrides]:
    return [list(job) for job in product(*map(_values, overrides))]


def _values(override: Override) -> Overrides:
    """Return an override for each value; a single value stays as it was typed, so that it stays out of folder names."""
    if not override.is_sweep_override():
        return [str(override.input_line)]
    return [f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()]


def _value(overrides: Overrides, name: str) -> list[str]:
    return [value for each in overrides for option, _, value in [each.partition("=")] if option == name]
