"""conf/README.md, printed: python -m lightning_liver.help.readme > conf/README.md"""

from collections.abc import Iterable

from lightning_liver.help import options
from lightning_liver.help.options import Choice, Option

_INTRO = """# Commands, groups and options

`make conf-readme` writes this page from the comments of the yamls beside it; `liver-train --help data` prints the same.
GROUP=CHOICE takes another yaml of a group's folder, GROUP.OPTION=VALUE changes an option, and -m runs every combination
of values that are separated by commas: `python train.py -m loss=focal loss.gamma=1,2`."""

_TUNED = """## What is tuned

`hydra/sweeper=fair` tunes what `tune/GROUP/CHOICE.yaml` has for a contender's choices; `--config-dir` adds yours."""


def readme() -> str:
    """Return the page: the commands with their own options, then the groups with their choices and options."""
    names = sorted(options.commands(), key="train".__eq__)  # which explains its groups best
    meanings = {group.name: group.meaning for name in names for group in options.groups(name)}
    commands = [_command(name) for name in options.commands()]
    groups = [_group(name, meanings.get(name, "")) for name in options.all_groups()]
    return "\n\n".join([_INTRO, "## Commands", *commands, "## Groups", *groups, _tuned()]) + "\n"


def _tuned() -> str:
    rows = [f"| `{each.choice}` | `{each.option}` | `{each.space}` |" for each in options.tuned()]
    return "\n".join([_TUNED, "", "| choice | option | space |", "|---|---|---|", *rows])


def _command(name: str) -> str:
    command = options.command(name)
    groups = [f"{_linked(group.name)} ({group.default})" for group in options.groups(name)]
    listed = f"Groups, with what they are by default: {', '.join(groups)}." if groups else ""
    about = "\n".join(["```", *command.about, "```"])
    return "\n\n".join(filter(None, [f"### liver-{name.replace('_', '-')}", about, listed, _table(command.options)]))


def _linked(group: str) -> str:
    return f"[{group}](#{group.replace('/', '')})"


def _group(name: str, meaning: str) -> str:
    choices = options.choices(name)
    return "\n\n".join(
        filter(None, [f"### {name}", meaning[:1].upper() + meaning[1:], *(_choice(name, each) for each in choices)])
    )


def _choice(group: str, choice: Choice) -> str:
    if choice.name == "base":
        return f"Options of every choice:\n\n{_table(choice.options)}" if group != options.STUDIES else ""
    parents = [f"`{group}={parent}`" for parent in choice.parents if parent != "base"]
    about = [
        f"**`{group}={choice.name}`** {' '.join(map(_prose, choice.about))}",
        *[f"It has the options of {', '.join(parents)}."] * bool(parents),
    ]
    return "\n\n".join(filter(None, [" ".join(about), _table(choice.options) if group not in options.RECIPES else ""]))


def _prose(line: str) -> str:
    return f"`{line}`" if options.is_command(line) else line


def _table(listed: Iterable[Option]) -> str:
    rows = []
    for name, default, meaning in listed:
        shown = default if default in options.UNTYPED else f"`{default}`"
        rows.append(f"| `{name}` | {shown} | {meaning or options.meaning(name)} |")
    return "\n".join(["| option | default | meaning |", "|---|---|---|", *rows]) if rows else ""


if __name__ == "__main__":
    print(readme(), end="")
