"""Answers to mistyped, renamed and missing options and choices, with the nearest that exists."""

import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import Any

from hydra.errors import ConfigCompositionException, MissingConfigException
from omegaconf import DictConfig

from lightning_liver.config import RENAMED
from lightning_liver.help import options


def proposal(typed: str, known: Iterable[str]) -> str:
    """Return "; did you mean ...?" for the nearest name or for one that ends in what was typed, "" if there is none."""
    names = sorted(set(known))
    same_end = [name for name in names if name.endswith(f".{typed}")]
    near = [*same_end, *get_close_matches(typed, names, 1)]
    return f"; did you mean {near[0]}?" if near else ""


def answer(error: BaseException) -> str | None:
    """Return the answer to a wrong option or choice, None for any other error."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options:
        return _wrong_choice(error.missing_cfg_file, error.options)
    if missing := re.search(r"Missing mandatory value: ([\w.]+)", str(error)):
        name = re.sub(r"\..*\.", ".", missing[1])  # data.source.root only passes data.root on
        meaning = options.meaning(name)
        return f"{name}: expected a value{f' ({meaning})' * bool(meaning)}; give {name}=..."
    typed = re.match(r"Could not override '([^']+)'", str(error))
    if not typed or not isinstance(error, ConfigCompositionException):
        return None
    parent: Any = getattr(error.__cause__, "parent_node", None)
    return no_such_option(typed[1], names_of(parent._get_root(), "") if isinstance(parent, DictConfig) else ())


def no_such_option(typed: str, present: Iterable[str]) -> str:
    """Return the answer to an option that does not exist: its other name, the choices that have it, or the nearest.

    Args:
        present: dotted names of the options and groups of the command's config.
    """
    for old, new in RENAMED.items():
        if f"{typed}.".startswith(f"{old}."):
            return f"{typed}: this option has another name now; use {new}{typed.removeprefix(old)}"
    if having := options.choices_with(typed):
        return f"{typed}: no such option of the present choice; it is an option of {', '.join(having)}"
    known = [name for name in (*present, *options.all_groups()) if name != typed]  # another command has it
    group = typed.partition(".")[0]
    of_choices = [name for choice in options.choices(group) for name, _, _ in choice.options] if group in known else []
    if (near := get_close_matches(typed, [*known, *of_choices], 1)) and near[0] not in known:
        return f"{typed}: no such option; did you mean {near[0]}, of {', '.join(options.choices_with(near[0]))}?"
    return f"{typed}: no such option{proposal(typed, known) or '; --help lists the options'}"


def _wrong_choice(typed: str, known: Iterable[str]) -> str:
    group, _, choice = typed.rpartition("/")
    names = [name for name in known if not name.startswith("base")]
    near = proposal(choice, names).replace("mean ", f"mean {group}=")
    return f"{group}={choice}: expected one of {', '.join(names)}{near}"


def names_of(node: Any, prefix: str) -> Iterator[str]:
    """Yield the dotted names of groups and options, without those that only pass on another option."""
    for key in map(str, node):
        value = node._get_node(key)
        if key.startswith("_") or (isinstance(value, DictConfig) and value._is_none()):
            continue
        if not options.POINTER.fullmatch(str(value._value())):
            yield prefix + key
        if isinstance(value, DictConfig) and not value._is_interpolation():
            yield from names_of(value, f"{prefix}{key}.")
