"""Refusal of options that nothing reads, whether they come from +OPTION=VALUE, an experiment or a yaml of one's own."""

import re
from collections.abc import Iterator, Mapping
from inspect import Parameter, signature
from typing import Any

import hydra
from hydra.utils import get_object
from omegaconf import DictConfig

from lightning_liver import config
from lightning_liver.errors import LiverError
from lightning_liver.help import options
from lightning_liver.help.mistakes import names_of, no_such_option

_NAMES_OBJECTS = ("callbacks", "logger", "test_losses")  # groups whose keys are names that the user chooses
_REFERENCE = re.compile(r"\$\{(\.*)([\w.]+)\}")


def refuse_unread(command: str, cfg: DictConfig, choices: Mapping[str, Any]) -> None:
    """Refuse an option of a composed config that nothing reads.

    An option is read if the command's own config has it with the same choices of groups, if another option refers to
    it, or if the function or class of its node takes an argument of this name.

    Args:
        choices: choice of each group, as in hydra.runtime.choices.

    Raises:
        LiverError: there is such an option; the message has the nearest that exists.
    """
    known = hydra.compose(command, [f"{group}={choice}" for group, choice in _own_choices(command, choices).items()])
    referred = set(_referred_to(cfg))
    if unread := [name for name in _unknown(cfg, known) if name not in referred]:
        names = list(names_of(known, ""))
        raise LiverError("\n".join(no_such_option(name, names) for name in unread))


def adds_options(job: Any) -> bool:
    """Return True if a command line can have options that conf/ lacks: by +OPTION=VALUE, or yamls of another folder.

    Without either, Hydra itself refuses them, and the comparison's second composition is spared.

    Args:
        job: Hydra's own part of the config, with `overrides` and `runtime`.
    """
    folders = (source.path for source in job.runtime.config_sources if source.schema == "file")
    return any(typed.startswith("+") for typed in job.overrides.task) or set(folders) != {str(config.folder())}


def _own_choices(command: str, choices: Mapping[str, Any]) -> dict[str, Any]:
    """Return the choices of groups whose yaml is in conf/ and sets options of its own group alone."""
    groups = {group.name: choices.get(group.name) for group in options.groups(command)}
    return {group: choice for group, choice in groups.items() if choice and options.is_of_group(group, choice)}


def _unknown(node: DictConfig, known: Any, above: str = "") -> Iterator[str]:
    """Yield the dotted names of options that neither the known config has nor the function of their node takes."""
    target = _part(node, "_target_")
    for key in map(str, node):
        if key.startswith("_") or (not above and key in ("hydra", *_NAMES_OBJECTS)):
            continue
        own, usual = _part(node, key), _part(known, key)
        if usual is None and not (target is not None and _takes(str(target._value()), key)):
            yield f"{above}{key}"
        elif _is_node(own) and (_part(own, "_target_") is not None or (target is None and _is_node(usual))):
            yield from _unknown(own, usual, f"{above}{key}.")


def _part(node: Any, key: str) -> Any:
    """Return the node of a key, None if there is none."""
    return node._get_node(key) if _is_node(node) and key in node.keys() else None  # noqa: SIM118  ??? is a key, too


def _is_node(value: Any) -> bool:
    return isinstance(value, DictConfig) and not value._is_none() and not value._is_interpolation()


def _takes(target: str, argument: str) -> bool:
    """Return True if a function or class takes a keyword argument, or if that cannot be known."""
    try:
        parameters = signature(get_object(target)).parameters
    except Exception:  # whoever builds it says what is wrong
        return True
    return argument in parameters or any(each.kind is Parameter.VAR_KEYWORD for each in parameters.values())


def _referred_to(node: Any, path: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield the dotted names of the options to which other options refer, as ${..size} does."""
    if _is_node(node):
        for key in map(str, node):
            yield from _referred_to(node._get_node(key), (*path, key))
        return
    for dots, name in _REFERENCE.findall(str(node._value())):
        yield ".".join([*(path[: -len(dots)] if dots else ()), name])
