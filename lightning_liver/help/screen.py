"""Text of --help: a command on one screen, or a group with a line for each choice and the meanings of its options."""

import re
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence

from lightning_liver.errors import LiverError
from lightning_liver.help import options
from lightning_liver.help.mistakes import proposal
from lightning_liver.help.options import Choice, Group, Option

FLAGS = {"-h", "--help"}
_COLUMN = 34  # at which the meanings begin, at the latest
_INDENT = "  "


def help_text(command: str, arguments: Sequence[str]) -> str | None:
    """Return the help that a command line asks for with --help, `--help data` or `--help loss=focal`, else None.

    Raises:
        LiverError: the command has no such group, or the group no such choice.
    """
    if not FLAGS & set(arguments):
        return None
    in_overview = {re.split(r"\W", option.name)[0] for option in options.command(command).options}
    topics = [each for each in arguments if not each.startswith("-") and re.split(r"\W", each)[0] not in in_overview]
    return "\n\n\n".join(_topic(command, topic) for topic in topics) if topics else _overview(command)


def _overview(command: str) -> str:
    groups, about = options.groups(command), options.command(command)
    typed = f"python {sys.argv[0]}" if sys.argv[0].endswith("train.py") else f"liver-{command.replace('_', '-')}"
    rows = [(f"{_INDENT}{_typed(group)}", group) for group in groups]
    column = min(max((len(left) for left, _ in [*rows, *_rows(about.options)]), default=0) + 2, _COLUMN)
    parts: list[Sequence[str]] = [_about(about)]
    if groups:
        listed = [line for left, group in rows for line in _group(left, group, column)]
        more = f"{typed} --help {groups[0].name} explains them, and their options."
        parts.append((*_wrapped(f"Groups, each with its default and its choices; {more}", 0), *listed))
    parts.append(("Options", *_options(about.options, column)) if about.options else ())
    parts.append((f"The whole config: {typed} --cfg job; Hydra's own options: {typed} --hydra-help",))
    return "\n\n".join("\n".join(lines) for lines in parts if lines)


def _typed(group: Group) -> str:
    return group.name if group.default == "null" else f"{group.name}={group.default}"


def _group(left: str, group: Group, column: int) -> list[str]:
    """Return a group with its meaning and the names of its choices, below it if one line cannot hold both."""
    names = ", ".join(choice.name for choice in _choices_of(group.name))
    if len(lines := _columns(left, f"{group.meaning}: {names}", column)) == 1:
        return lines
    return [*_columns(left, group.meaning, column), *_wrapped(names, column + len(_INDENT))]


def _topic(command: str, topic: str) -> str:
    name, _, chosen = topic.partition("=")
    if "." in name:  # an option of the group
        name, chosen = name.partition(".")[0], ""
    known = {group.name: group for group in options.groups(command)}
    if name not in known:
        raise LiverError(f"--help {name}: expected one of {', '.join(known)}{proposal(name, known)}")
    choices = {choice.name: choice for choice in options.choices(name)}
    if chosen and chosen not in choices:
        raise LiverError(f"--help {topic}: expected one of {', '.join(choices)}{proposal(chosen, choices)}")
    listed = _chain(choices, chosen) if chosen else list(choices.values())
    shown = [choice for choice in listed if name != options.STUDIES or not choice.name.startswith("base")]
    sections = [_section(name, choice) for choice in shown if choice.options or len(choice.about) > 1]
    listed_choices = [f"{_typed(known[name])}  {known[name].meaning}", *_choices(name)]
    return "\n\n".join("\n".join(lines) for lines in ([] if chosen else [listed_choices]) + sections)


def _chain(choices: dict[str, Choice], name: str) -> list[Choice]:
    """Return a choice and the choices whose options it takes over."""
    parents = [each for parent in choices[name].parents if parent in choices for each in _chain(choices, parent)]
    return [choices[name], *parents]


def _section(group: str, choice: Choice) -> list[str]:
    others = [f"{group}={parent}" for parent in choice.parents if parent != "base"]
    own = () if group in options.RECIPES else choice.options
    taken_over = [f"The options of {', '.join(others)}, and"] if others and own else []
    title = f"Options of every {group}" if choice.name == "base" else f"{group}={choice.name}"
    return [title, *(() if choice.name == "base" else _about(choice)), *taken_over, *_options(own)]


def _about(choice: Choice) -> list[str]:
    return [f"  {line}" if options.is_command(line) else line for line in choice.about]


def _choices(group: str) -> list[str]:
    """Return a line for each choice, longer ones wrapped."""
    choices = _choices_of(group)
    column = max(len(choice.name) for choice in choices) + 2 * len(_INDENT)
    return [line for choice in choices for line in _columns(f"{_INDENT}{choice.name}", choice.line, column)]


def _choices_of(group: str) -> list[Choice]:
    return [choice for choice in options.choices(group) if not choice.name.startswith("base")]


def _options(listed: Iterable[Option], column: int = _COLUMN) -> Iterator[str]:
    for left, meaning in _rows(listed):
        yield from _columns(left, meaning, column)


def _rows(listed: Iterable[Option]) -> Iterator[tuple[str, str]]:
    """Yield each option with its default, and its meaning."""
    for name, default, meaning in listed:
        sign = " " if default in options.UNTYPED else "="
        yield f"{_INDENT}{name}{sign}{default}", meaning or options.meaning(name)


def _columns(left: str, right: str, column: int) -> list[str]:
    """Return one text beside another that wraps in its column."""
    lines = _wrapped(right, column)
    if len(left) >= column or not lines:
        return [left, *lines]
    return [left + lines[0][len(left) :], *lines[1:]]


def _wrapped(text: str, column: int) -> list[str]:
    """Return the lines of a text that begins at a column."""
    lines = textwrap.wrap(text, max(_width() - column, _COLUMN), break_on_hyphens=False)
    return [f"{'':<{column}}{line}" for line in lines]


def _width() -> int:
    return shutil.get_terminal_size((120, 0)).columns
