"""liver-runs multirun/losses"""

from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from functools import partial

from lightning_liver.apps.main import say

_ABOUT = """List training runs, newest first: when they ended, status, data, Dice of liver and tumour of test cases, the
options in which the listed runs differ, and the folder. Of an incomplete run, how far it is or why it failed."""

_EXAMPLES = """examples:
  liver-runs                                    the runs in outputs/ and multirun/
  liver-runs multirun/losses --sort tumour      a sweep, the highest Dice first
  liver-runs --study losses --best              its best run, by the validation cases
  liver-runs --best --json | jq -r .[0].folder  for a script"""


def main() -> None:
    """Print a table of training runs."""
    given = _parser().parse_args()
    say(partial(_answer, given))


def _answer(given: Namespace) -> str:
    from lightning_liver.commands.runs import runs  # here, so that --help is quick

    return runs(given.folders, given.study, given.sort, best=given.best, as_json=given.json)


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        "liver-runs", description=_ABOUT, epilog=_EXAMPLES, formatter_class=RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "folders", nargs="*", metavar="FOLDER", help="run folders, or folders above them (default: outputs multirun)"
    )
    parser.add_argument("--study", metavar="NAME", help="only runs of this sweep or experiment, as in multirun/NAME")
    parser.add_argument(
        "--sort",
        choices=("when", "tumour", "liver", "validation"),
        default="when",
        help="the newest first, or the highest Dice of test or validation cases (%(default)s)",
    )
    parser.add_argument(
        "--best",
        action="store_true",
        help="only the best complete run on each data set, by the tumour Dice of validation cases",
    )
    parser.add_argument("--json", action="store_true", help="print a JSON list with all figures and whole names")
    return parser


if __name__ == "__main__":
    main()
