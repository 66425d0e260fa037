"""A run's config as dotted names: which options define the experiment, and how two configs differ."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from lightning_liver.config import SAME_CONFIGURATION, SCRATCH, is_first_value, is_one_of, renamed
from lightning_liver.readers import parse_yaml, parsing, read_text, read_yaml
from lightning_liver.run_folder import RunFolder

_CHOICE, _TARGET = "_choice_", "_target_"
_CHOICES = re.compile(r"^ {4}choices:\n((?: {6}.*\n)+)", re.MULTILINE)  # a tenth of the file that Hydra writes

Settings = Mapping[str, object]


def read_settings(folder: Path) -> Settings:
    """Read the config of a run folder as dotted names, interpolations unresolved; empty without a config.

    GROUP._choice_ is the name of the yaml that was chosen.

    Raises:
        LiverError: the config is damaged.
    """
    path = RunFolder(folder).config
    if not path.exists():
        return {}
    tree, choices = read_yaml(path), read_choices(folder)
    with parsing(path):
        return flat(renamed(tree)) | {f"{name}.{_CHOICE}": choice for name, choice in choices.items() if tree.get(name)}


def read_choices(folder: Path) -> dict[str, str | None]:
    """Read which yaml a run chose of each group; empty if Hydra wrote no such file.

    Raises:
        LiverError: the file is damaged.
    """
    path = RunFolder(folder).hydra_config
    if not path.exists():
        return {}
    text = read_text(path)
    found = _CHOICES.search(text)
    if found:
        return dict(_parsed(found[1], path))
    return {**_within(parse_yaml(text, path), path, "hydra", "runtime", "choices")}


def _within(tree: Mapping[str, Any], path: Path, *names: str) -> Mapping[str, Any]:
    """Return a mapping below some names; empty where one is missing."""
    with parsing(path):
        for name in names:
            tree = tree.get(name) or {}
        return {**tree}


@lru_cache(maxsize=100)
def _parsed(text: str, path: Path) -> Mapping[str, str | None]:
    """Parse choices; the runs of a sweep have the same ones."""
    return parse_yaml(text, path)


def learnt(settings: Settings) -> dict[str, object]:
    """Return the settings that define a configuration: without seed, fold, paths and what nothing reads."""
    plain = {
        name: value
        for name, value in settings.items()
        if not is_one_of(name, SAME_CONFIGURATION) and not is_first_value(name, value)
    }
    if not any(is_one_of(name, ("callbacks",)) for name in plain if name != f"callbacks.{_CHOICE}"):
        plain.pop(f"callbacks.{_CHOICE}", None)  # it only shows more
    if plain.get(f"finetune.{_TARGET}") != SCRATCH and plain.get(f"finetune.{_CHOICE}") != "scratch":
        return plain
    others = {name: value for name, value in plain.items() if not is_one_of(name, ("finetune",))}
    return others | {f"finetune.{_CHOICE}": "scratch", f"finetune.{_TARGET}": SCRATCH}


def configuration_names(configs: Sequence[Settings], within: Sequence[str] = ()) -> list[str]:
    """Name each config by what differs between them or, with `within`, between those that agree in it.

    A group of the config whose target differs is named by its choice (loss=focal); its options are named where configs
    of the same choice differ in them (loss=focal loss.gamma=2). Configs that differ in nothing are "all".
    """
    choices = [_choices(each) for each in configs]
    strata: dict[str, list[int]] = {}
    for n, each in enumerate(configs):
        strata.setdefault(stratum(each, within), []).append(n)
    groups = sorted({group for some in strata.values() for group in _differing([choices[n] for n in some])})
    options: dict[tuple[str, str | None], list[str]] = {}
    for group in ("", *groups):
        for choice in {own.get(group) for own in choices}:
            alike = [[n for n in some if choices[n].get(group) == choice] for some in strata.values()]
            found = [_differing([_of_group(configs[n], group, groups) for n in some]) for some in alike]
            options[group, choice] = sorted({name for differing in found for name in differing})
    return [
        " ".join(
            [f"{group}={own[group]}" for group in groups if group in own]
            + [f"{name}={each[name]}" for g in ("", *groups) for name in options[g, own.get(g)] if name in each]
        )
        or "all"
        for each, own in zip(configs, choices, strict=True)
    ]


def value_of(settings: Settings, option: str) -> object:
    """Return the value of an option or the choice of a group; None if there is neither."""
    return settings.get(option, _choices(settings).get(option))


def stratum(settings: Settings, within: Sequence[str]) -> str:
    """Format the values of some options, as in "data.tumour_scale=0.5"."""
    return " ".join(f"{option}={value_of(settings, option)}" for option in within)


def differing(configs: Sequence[Settings]) -> list[str]:
    """Return the options, and the groups with several choices, in which some configs differ."""
    options = [name for name in _differing(configs) if not name.endswith(f".{_TARGET}")]
    return sorted({*options, *_differing([_choices(each) for each in configs])})


def levels(configs: Sequence[Settings]) -> dict[str, list[str]]:
    """Return what tells configs apart: the choices of each group that has several, the values of other options.

    Options of such a group are left out. A list has one value for each config.
    """
    choices = [_choices(each) for each in configs]
    groups = _differing(choices)
    apart: dict[str, list[str]] = {group: [own.get(group, "") for own in choices] for group in groups}
    for name in _differing([_of_group(each, "", groups) for each in configs]):
        if not name.endswith(f".{_TARGET}"):
            apart[name] = [json.dumps(each.get(name), default=str).strip('"') for each in configs]
    return apart


def flat(tree: Mapping[str, Any], above: str = "") -> dict[str, object]:
    """Flatten a nested config to dotted names; an empty group has none."""
    options: dict[str, object] = {}
    for name, value in tree.items():
        options |= flat(value, f"{above}{name}.") if isinstance(value, dict) else {f"{above}{name}": value}
    return options


def _choices(settings: Settings) -> dict[str, str]:
    """Return the choice of each group: its yaml's name, else the function or class that it builds."""
    chosen: dict[str, str] = {}
    for name, value in settings.items():
        group, _, rest = name.partition(".")
        if rest == _TARGET:
            chosen.setdefault(group, str(value).rpartition(".")[2])
        if rest == _CHOICE and value is not None:
            chosen[group] = str(value)
    return chosen


def _differing(configs: Sequence[Settings]) -> list[str]:
    known = dict.fromkeys(name for each in configs for name in each if not name.endswith(f".{_CHOICE}"))
    return [name for name in known if len({json.dumps(each.get(name), default=str) for each in configs}) > 1]


def _of_group(settings: Settings, group: str, groups: Iterable[str]) -> Settings:
    """Return the options of one of `groups`; for "" the options that belong to none of them."""
    above = {name: name.partition(".")[0] for name in settings}
    return {name: value for name, value in settings.items() if (above[name] if above[name] in groups else "") == group}
