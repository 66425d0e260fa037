"""What the commands here share: where what they print goes, and under which command line."""

import shlex
from argparse import ArgumentParser, Namespace
from pathlib import Path

from lightning_liver.comparison.readme import Block, write_block

README = Path(__file__).with_name("README.md")
_OF_MAKE = ("write", "nnunet", "python", "scorer", "recipe")  # given by the target of make, whose line says them


def parser_of(doc: str) -> ArgumentParser:
    """A parser that tells what a module's docstring says below its first line, with --write."""
    parser = ArgumentParser(description=doc.partition("\n")[2].strip())
    parser.add_argument("--write", action="store_true", help="into the README beside this file")
    return parser


def publish(text: str, parser: ArgumentParser, given: Namespace, *, command: str, name: str) -> None:
    """Print, and with --write put it between the marks of a name in the README."""
    print(text, flush=True)
    if given.write:
        write_block(README, Block(typed(parser, given, command), text), name)


def typed(parser: ArgumentParser, given: Namespace, command: str) -> str:
    """The target of make, and the options beside it where they are not the defaults; a path by what it stands for."""
    words = []
    for option, value in vars(given).items():
        if option not in _OF_MAKE and value != parser.get_default(option):
            words += [f"--{option}", *(_word(option, one) for one in (value if isinstance(value, list) else [value]))]
    return f"{command}    # with {shlex.join(words)}" if words else command


def _word(option: str, value: object) -> str:
    return option.upper() if isinstance(value, Path) else str(value)
