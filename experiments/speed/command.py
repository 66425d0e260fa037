"""Options, paths and output that all benchmarks share."""

import shlex
from argparse import ArgumentParser, Namespace
from pathlib import Path

from lightning_liver.comparison.readme import MarkedBlock, write_block
from lightning_liver.errors import LiverError

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
README = HERE / "README.md"
_VARIABLES = ("data", "scorer", "recipe")  # of `make bench`
_HIDDEN = ("write", "nnunet", "python")  # set by `make bench` or by default


def parser_of(what: str, doc: str | None) -> ArgumentParser:
    """Return a parser with --write that describes a benchmark by its module's docstring."""
    parser = ArgumentParser(f"python -m experiments.speed {what}", description=doc)
    parser.add_argument("--write", action="store_true", help="write the result into experiments/speed/README.md")
    return parser


def add_counts(parser: ArgumentParser, **counts: tuple[int, str]) -> None:
    """Add whole-number options, each given by its default and meaning."""
    for name, (default, meaning) in counts.items():
        parser.add_argument(f"--{name}", type=int, default=default, metavar="N", help=f"{meaning} (%(default)s)")


def interpreter(option: str, path: Path) -> Path:
    """Return the absolute path of another environment's Python.

    Raises:
        LiverError: it does not exist.
    """
    if not path.exists():
        raise LiverError(f"--{option} {path}: expected a Python interpreter; `make bench WHAT=...` makes it")
    return path.absolute()


def publish(text: str, parser: ArgumentParser, given: Namespace, *, block: str | None = None) -> None:
    """Print a result; with --write put it between the marks of a block of the README, named after the benchmark."""
    print(text, flush=True)
    if given.write:
        write_block(README, MarkedBlock(make_command(parser, given), text), block or _what(parser))


def make_command(parser: ArgumentParser, given: Namespace) -> str:
    """Return the `make bench` that repeats this call; paths are replaced by FILE or FOLDER."""
    variables, options = [f"make bench WHAT={_what(parser)}"], []
    for name, value in vars(given).items():
        if name in _VARIABLES and value is not None:
            variables.append(f"{name.upper()}={_word(value)}")
        elif name not in _HIDDEN and value != parser.get_default(name):
            options += [f"--{name}", *(_word(one) for one in (value if isinstance(value, list) else [value]))]
    if options:
        variables.append(f"OPTIONS={shlex.quote(shlex.join(options))}")
    return " ".join(variables)


def _what(parser: ArgumentParser) -> str:
    return parser.prog.split()[-1]


def _word(value: object) -> str:
    if isinstance(value, Path):
        return "FILE" if value.is_file() else "FOLDER"
    return str(value)
