"""Configuration and reproduction sections: options, machine, and the command that repeats the run."""

import json
import shlex
from collections.abc import Sequence

from lightning_liver.report.html.blocks import Block, Cell, Code, Column, Folded, Section, Table, Text, missing, note
from lightning_liver.run_folder import NAMES
from lightning_liver.runs.contents import Contents

_NOT_THE_RUN = ("trial=", "results=", "resume=", "report=", "estimate=")  # how the command works, not what the run does
_MACHINE = ("finished", "code", "machine", "processor", "cores", "memory_gib", "gpu", "python")


def configuration_section(contents: Contents) -> Section:
    """Make the section: differences from the defaults, then the whole configuration."""
    blocks: list[Block] = []
    if contents.differs is not None:
        blocks += _differences(contents.differs["choices"], contents.differs["options"])
    elif contents.overrides is not None:
        blocks.append(missing("The differences from the defaults were not saved; the command line had:"))
        blocks.append(Code("\n".join(contents.overrides) or "nothing"))
    if contents.chosen:
        blocks.append(Text(_resolved(contents)))
    if contents.transfer:
        blocks.append(Folded("Parameters copied from the source of fine-tuning", [Code(contents.transfer.strip())]))
    if contents.config:
        blocks.append(Folded("The whole configuration", [Code(contents.config.strip())]))
    return Section("configuration", "Configuration", blocks or [missing(f"This folder has no {NAMES.config}.")])


def reproduction_section(contents: Contents) -> Section:
    """Make the section: the command and its environment."""
    blocks: list[Block] = []
    if contents.overrides is None:
        blocks.append(missing("This run was not started by a command; its configuration is above."))
    else:
        blocks += [
            Text("This command repeats the run:"),
            Code(command(contents.overrides, contents.job, contents.config_folders, swept=contents.swept)),
        ]
        blocks.append(
            note(
                "On the same machine with the same number of threads the result is equal to the bit; elsewhere "
                "rounding differs. A budget in minutes holds more or fewer epochs on another machine."
            )
        )
    if contents.environment is None:
        blocks.append(missing("This run has no record of its environment."))
    else:
        blocks += _environment(contents)
    return Section("reproduction", "Reproduction", blocks)


def command(overrides: Sequence[str], job: str = "train", config_folders: Sequence[str] = (), *, swept: bool) -> str:
    """Return the command line of this run alone.

    Args:
        job: the name of its config.
        config_folders: folders with yamls of the user's own.
        swept: the run was a job of a sweep, which its experiment alone would start again.
    """
    kept = [override for override in overrides if not override.startswith(_NOT_THE_RUN)]
    words = ["python", "train.py"] if job == "train" else [f"liver-{job}"]
    words += [word for folder in config_folders for word in ("--config-dir", folder)]
    return shlex.join([*words, *kept, *(["hydra.mode=RUN"] if swept else [])])


def _differences(choices: dict[str, list[object]], options: dict[str, list[object]]) -> list[Block]:
    changed = {**choices, **options}
    if not changed:
        return [Text("Nothing differs from the defaults.")]
    columns = [Column(name, numeric=False) for name in ("Option", "This run", "Default")]
    rows = [[Cell(name), Cell(_shown(own)), Cell(_shown(default))] for name, (default, own) in changed.items()]
    return [Table("What differs from the defaults", columns, rows)]


def _resolved(contents: Contents) -> str:
    chosen = contents.chosen
    threads = f", {chosen['threads']} threads" if chosen.get("threads") else ""
    layout = ", channels last" * bool(chosen.get("channels_last"))
    return f"Chosen on the machine: {chosen.get('accelerator', '-')}, {chosen.get('precision', '-')}{layout}{threads}."


def _environment(contents: Contents) -> list[Block]:
    known = contents.environment or {}
    columns = [Column(name, numeric=False) for name in ("Property", "Value")]
    machine = [[Cell(name.replace("_gib", ", GiB")), Cell(str(known[name]))] for name in _MACHINE if known.get(name)]
    packages = [[Cell(name), Cell(str(version))] for name, version in sorted(known.items()) if name not in _MACHINE]
    named = [Column(name, numeric=False) for name in ("Package", "Version")]
    return [
        Table("Environment", columns, machine),
        Folded("Versions of packages", [Table("Packages", named, packages)]),
    ]


def _shown(value: object) -> str:
    """Return a value as it is typed; names of this package without its prefix."""
    if value is None:
        return "null"
    if isinstance(value, str):
        return "(required)" if value == "???" else value.removeprefix("lightning_liver.")
    return json.dumps(value)
