"""Text of --help: a command with its groups and choices, or the options of a group with their meanings."""

import re
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence

from lightning_liver.errors import LiverError
from lightning_liver.help import options
from lightning_liver.help.mistakes import proposal
from lightning_liver.help.options import Choice, Option

FLAGS = {"-h", "--help"}
_COLUMN = 34  # at which the meanings begin


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
    parts: list[Sequence[str]] = [_about(about)]
    for name, default, meaning in groups:
        title = name if default == "null" else f"{name}={default}"
        parts.append((*_columns(title, meaning), *_choices(name)))
    parts.append(("Options", *_options(about.options)) if about.options else ())
    parts.append(
        (
            *[
                f"Options of a group, with meaning, default and unit: {typed} --help {group.name}"
                for group in groups[:1]
            ],
            f"The whole config: {typed} --cfg job; Hydra's own options: {typed} --hydra-help",
        )
    )
    return "\n\n".join("\n".join(lines) for lines in parts if lines)


def _topic(command: str, topic: str) -> str:
    name, _, chosen = topic.partition("=")
    if "." in name:  # an option of the group
        name, chosen = name.partition(".")[0], ""
    known = [group.name for group in options.groups(command)]
    if name not in known:
        raise LiverError(f"--help {name}: expected one of {', '.join(known)}{proposal(name, known)}")
    choices = {choice.name: choice for choice in options.choices(name)}
    if chosen and chosen not in choices:
        raise LiverError(f"--help {topic}: expected one of {', '.join(choices)}{proposal(chosen, choices)}")
    listed = _chain(choices, chosen) if chosen else list(choices.values())
    shown = [choice for choice in listed if name != options.STUDIES or not choice.name.startswith("base")]
    sections = [_section(name, choice) for choice in shown if choice.options or len(choice.about) > 1]
    return "\n\n".join("\n".join(lines) for lines in ([] if chosen else [_choices(name)]) + sections)


def _chain(choices: dict[str, Choice], name: str) -> list[Choice]:
    """Return a choice and the choices whose options it takes over."""
    parents = [each for parent in choices[name].parents if parent in choices for each in _chain(choices, parent)]
    return [choices[name], *parents]


def _section(group: str, choice: Choice) -> list[str]:
    others = [f"{group}={parent}" for parent in choice.parents if parent != "base"]
    own = () if group == options.STUDIES else choice.options
    taken_over = [f"The options of {', '.join(others)}, and"] if others and own else []
    title = f"Options of every {group}" if choice.name == "base" else f"{group}={choice.name}"
    return [title, *(() if choice.name == "base" else _about(choice)), *taken_over, *_options(own)]


def _about(choice: Choice) -> list[str]:
    return [f"  {line}" if options.is_command(line) else line for line in choice.about]


def _choices(group: str) -> list[str]:
    choices = [choice for choice in options.choices(group) if not choice.name.startswith("base")]
    longest = max(len(choice.name) for choice in choices)
    width = max(_width() - longest - 4, _COLUMN)
    lines = [textwrap.shorten(choice.line, width, placeholder=" ...") for choice in choices]
    return [f"  {choice.name:<{longest}}  {line}".rstrip() for choice, line in zip(choices, lines, strict=True)]


def _options(listed: Iterable[Option]) -> Iterator[str]:
    for name, default, meaning in listed:
        sign = " " if default in options.UNTYPED else "="
        yield from _columns(f"  {name}{sign}{default}", meaning or options.meaning(name))


def _columns(left: str, right: str) -> list[str]:
    """Return one text beside another that wraps in its column."""
    lines = textwrap.wrap(right, max(_width() - _COLUMN, _COLUMN))
    first = [left] if len(left) >= _COLUMN or not lines else []
    return [
        *first,
        *(f"{'' if first or number else left:<{_COLUMN}}{line}".rstrip() for number, line in enumerate(lines)),
    ]


def _width() -> int:
    return shutil.get_terminal_size((120, 0)).columns
