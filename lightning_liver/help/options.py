"""Commands, groups, choices and options with their meanings, read from the comments of conf/.

The comment lines that a yaml begins with explain the choice, the first one in brief; the comment behind or above an
option explains the option. --help and conf/README.md are made from them.
"""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from lightning_liver.config import folder

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, in most builds of PyYAML

REQUIRED, DERIVED = UNTYPED = ("(required)", "(derived)")  # defaults that nobody types
STUDIES = "experiment"  # a group whose choices only set options of other groups
RECIPES = (STUDIES, "debug")  # all of them
_TUNE = "tune"  # no group, but what a fair comparison tunes of the choices of groups
_GLOBAL = "# @package _global_"
POINTER = re.compile(r"\$\{\.*[\w.]+\}")  # the value of an option that only passes on another one


class Option(NamedTuple):
    """An option; `default` is as in the yaml, REQUIRED for ???, DERIVED if it follows from other options."""

    name: str
    default: str
    meaning: str


class Choice(NamedTuple):
    """A yaml of conf/: a choice of a group, or a command. It has the options of its parents too."""

    name: str
    about: tuple[str, ...]
    parents: tuple[str, ...]
    options: tuple[Option, ...]

    @property
    def line(self) -> str:
        return self.about[0] if self.about else ""


class Group(NamedTuple):
    """A group of a command and the choice that it takes by default."""

    name: str
    default: str
    meaning: str


# Hydra's own groups, to which ours add choices
_SWEEPER = Group(
    "hydra/sweeper", "basic", "how a sweep (-m) chooses its runs; basic, Hydra's own, takes all combinations"
)
_LAUNCHER = Group(
    "hydra/launcher", "basic", "where a sweep (-m) runs; basic: one job after another, joblib: one on each core"
)


class Tuned(NamedTuple):
    """An option that a fair comparison tunes for a choice of a group, and the space of its values."""

    choice: str
    option: str
    space: str


def commands() -> list[str]:
    """Return the names of the commands that have a config."""
    return sorted(path.stem for path in folder().glob("*.yaml") if not path.read_text().startswith(_GLOBAL))


def command(name: str) -> Choice:
    """Return the description and the own options of a command."""
    return _read(folder() / f"{name}.yaml")


def groups(name: str) -> list[Group]:
    """Return the groups of a command, in the order of its defaults list."""
    text = (folder() / f"{name}.yaml").read_text()
    found = [
        Group(key.value, value.value, _comment(text, key, value))
        for entry in _defaults(yaml.compose(text, _Loader))
        if isinstance(entry, yaml.MappingNode)
        for key, value in entry.value
        if not key.value.startswith("override ")
    ]
    names = {group.name for group in found}
    if names.issuperset(RECIPES):
        return [*found, _SWEEPER, _LAUNCHER]
    return [*found, _SWEEPER] if STUDIES in names else found


def choices(group: str) -> list[Choice]:
    """Return the choices of a group, the base that they share first."""
    found = [_read(path) for path in sorted((folder() / group).glob("*.yaml"))]
    return sorted(found, key=lambda choice: choice.name != "base")


def is_of_group(group: str, name: str) -> bool:
    """Return True for a yaml of conf/ that sets options of its own group alone, unlike a study."""
    path = folder() / group / f"{name}.yaml"
    return path.is_file() and not path.read_text().startswith(_GLOBAL)


def all_groups() -> list[str]:
    """Return the names of all groups."""
    found = {path.parent.relative_to(folder()).as_posix() for path in folder().glob("*/**/*.yaml")}
    return sorted(group for group in found if not group.startswith(f"{_TUNE}/"))


def tuned() -> list[Tuned]:
    """Return what hydra/sweeper=fair tunes, as conf/tune has it for the choices of groups."""
    found = []
    for path in sorted((folder() / _TUNE).glob("**/*.yaml")):
        group = path.parent.relative_to(folder() / _TUNE).as_posix()
        spaces = yaml.load(path.read_text(), _Loader)
        found += [Tuned(f"{group}={path.stem}", option, str(space)) for option, space in spaces.items()]
    return found


def is_command(line: str) -> bool:
    """Return True for a line of a description that can be typed."""
    return line.startswith(("python ", "liver-", "make "))


def choices_with(option: str) -> list[str]:
    """Return the choices that have an option of this name, each as "group=choice"."""
    return [f"{group}={choice.name}" for group, choice in _choices_of_groups() if _of(choice, option)]


def meaning(option: str) -> str:
    """Return the meaning of an option as the first yaml with a comment has it, "" if none has."""
    found = [each.meaning for _, choice in _choices_of_groups() for each in _of(choice, option)]
    return next(filter(None, found), "")


def _choices_of_groups() -> list[tuple[str, Choice]]:
    return [(group, choice) for group in all_groups() if group not in RECIPES for choice in choices(group)]


def _of(choice: Choice, option: str) -> list[Option]:
    return [each for each in choice.options if each.name == option]


@cache
def _read(path: Path) -> Choice:
    text = path.read_text()
    group = path.parent.relative_to(folder()).as_posix().removeprefix(".")
    header = [line for line in _leading_comments(text.splitlines()) if line != _GLOBAL]
    root = yaml.compose(text, _Loader)
    prefix = f"{group.replace('/', '.')}." if group and not text.startswith(_GLOBAL) else ""
    return Choice(
        path.stem, tuple(map(_plain, header)), tuple(_parents(root, group)), tuple(_options(text, root, prefix))
    )


def _leading_comments(lines: list[str]) -> list[str]:
    return lines[: next((number for number, line in enumerate(lines) if not line.startswith("#")), len(lines))]


def _plain(comment: str) -> str:
    return comment.strip().removeprefix("#").removeprefix(" ")


def _defaults(root: Any) -> list[yaml.Node]:
    entries = root.value if isinstance(root, yaml.MappingNode) else []
    return next((value.value for key, value in entries if key.value == "defaults"), [])


def _parents(root: Any, group: str) -> Iterator[str]:
    for entry in _defaults(root):
        name, _, package = entry.value.partition("@") if isinstance(entry, yaml.ScalarNode) else ("_self_", "", "")
        if name != "_self_" and package in ("", group):
            yield name


def _options(text: str, node: Any, prefix: str) -> Iterator[Option]:
    for key, value in node.value if isinstance(node, yaml.MappingNode) else []:
        if key.value in ("defaults", "hydra") or key.value.startswith("_"):
            continue
        if isinstance(value, yaml.MappingNode) and not value.flow_style:
            inner = list(_options(text, value, f"{prefix}{key.value}."))
            target = next((str(part.value) for name, part in value.value if name.value == "_target_"), "")
            about = _behind(text, key.end_mark.index + 1)
            yield from inner or ([Option(prefix + key.value, target, about)] if about else [])
        elif not POINTER.fullmatch(default := text[value.start_mark.index : value.end_mark.index].strip()):
            shown = REQUIRED if default == "???" else DERIVED if default.startswith("${") else default
            yield Option(prefix + key.value, shown, _comment(text, key, value))


def _behind(text: str, index: int) -> str:
    found = re.match(r"\s+#\s*(.*)", text[index:].partition("\n")[0])
    return found[1] if found else ""


def _comment(text: str, key: yaml.Node, value: yaml.Node) -> str:
    """Return the comment behind a key or its value, else the one above; the header of the file belongs to no key."""
    if behind := _behind(text, value.end_mark.index):
        return behind
    lines = [line.strip() for line in text.splitlines()[: key.start_mark.line]]
    above = _leading_comments(lines[::-1])[::-1]
    return "" if above == lines else " ".join(map(_plain, above))
