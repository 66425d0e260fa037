"""Measure the speed of this project beside its peers.

Each WHAT has its own --help. `make bench WHAT=...` also makes the environments of the peers and writes the result into
README.md beside this file.
"""

import ast
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from importlib import import_module
from pathlib import Path
from typing import NoReturn

from lightning_liver.errors import LiverError


def benchmarks() -> dict[str, str]:
    """Return the first line of each WHAT/bench.py, read without importing it."""
    paths = sorted(Path(__file__).parent.glob("*/bench.py"))
    return {
        path.parent.name: (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0] for path in paths
    }


def main() -> None:
    """Run the benchmark that the first argument names with the other ones."""
    known = benchmarks()
    parser = ArgumentParser(
        "python -m experiments.speed",
        usage="%(prog)s WHAT [options]",
        description=__doc__,
        epilog="WHAT is one of:\n" + "\n".join(f"  {name:<14}{line}" for name, line in known.items()),
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", metavar="WHAT", choices=known, help="listed below")
    what = parser.parse_args(sys.argv[1:2]).what
    try:
        import_module(f"experiments.speed.{what}.bench").main(sys.argv[2:])
    except LiverError as error:
        stop(str(error))
    except ModuleNotFoundError as error:
        stop(f"{what} needs the package {error.name}, which is not in this environment; run make bench WHAT={what}")


def stop(message: str) -> NoReturn:
    """Print why and exit with code 2."""
    print(message, file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
