"""liver-compare multirun/losses --baseline bce"""

import shlex
import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from functools import partial

from lightning_liver.apps.main import say
from lightning_liver.errors import LiverError

_ABOUT = """Compare runs: the mean of each configuration with its 95 % interval, paired tests with Holm's correction, a
ranking and its stability, and in plain words what the data can and cannot show. Published results stand beside the
means for reference; if losses were measured in testing, a table shows which is best under which metric.
Several seeds are compared over patients and seeds; one seed compares two networks alone. Configurations are told apart
by the options that differ between runs, except seed and fold."""

_EXAMPLES = """examples:
  liver-compare multirun/losses --baseline bce                 a study against one configuration
  liver-compare multirun/losses --metric both                  Dice of tumour and of liver
  liver-compare multirun/losses --plan 0.02                    the size of a study that tells a difference of 0.02
  liver-compare multirun/losses --status                       which runs are complete, which failed and why
  liver-compare multirun/recipe --effects                      the effect of each option of a screening design
  liver-compare multirun/losses --write experiments/losses/README.md    the text, figures and results.csv of a study"""


def main() -> None:
    """Print a comparison of runs, or with --status the state of each."""
    given = _parser().parse_args()
    say(partial(_answer, given))


def _answer(given: Namespace) -> str:
    from lightning_liver.commands.compare import comparison, paper, status  # here, so that --help is quick

    if given.status:
        return status(given.folders)
    if given.paper:
        _refuse_beside_a_table(given)
        return paper(given.folders, given.metric, given.baseline, given.within, given.figures, given.paper)
    command = shlex.join(["liver-compare", *sys.argv[1:]])
    what = (given.folders, given.metric, given.baseline, given.within, given.effects, given.plan)
    return comparison(*what, given.write, given.figures, command)


def _refuse_beside_a_table(given: Namespace) -> None:
    others = {"--write": given.write, "--effects": given.effects, "--plan": given.plan is not None}
    if typed := [option for option, value in others.items() if value]:
        raise LiverError(f"--{given.paper}: expected without {typed[0]}, which it does not show; leave one of them out")


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        "liver-compare", description=_ABOUT, epilog=_EXAMPLES, formatter_class=RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "folders",
        nargs="+",
        metavar="FOLDER",
        help="a run folder, one above it as multirun/STUDY, a results.csv, or a folder with one as experiments/STUDY",
    )
    parser.add_argument(
        "--baseline", metavar="NAME", help="compare only with this configuration, chosen before looking"
    )
    parser.add_argument(
        "--metric", choices=("tumour", "liver", "both"), default="tumour", help="Dice of which structure (%(default)s)"
    )
    parser.add_argument(
        "--within",
        action="append",
        default=[],
        metavar="OPTION",
        help="compare runs only with those that share the value of this option; may be repeated",
    )
    parser.add_argument(
        "--effects",
        action="store_true",
        help="show first the effect of each option, averaged over the others: for a sweep of hydra/sweeper=design",
    )
    parser.add_argument(
        "--plan",
        type=float,
        metavar="DIFFERENCE",
        help="show last which differences of Dice the study can tell, and how many patients, folds and seeds, and what "
        "time, it takes to tell this one, such as 0.02",
    )
    for form, name in (("latex", "LaTeX"), ("markdown", "Markdown")):
        parser.add_argument(
            f"--{form}",
            dest="paper",
            action="store_const",
            const=form,
            help=f"print only the means and the paired differences, as tables for a paper in {name}",
        )
    parser.add_argument(
        "--status",
        action="store_true",
        help="only list which runs are complete, running, begun, pruned or failed, and why",
    )
    parser.add_argument(
        "--write",
        metavar="README",
        help="replace the part between <!-- liver-compare --> and <!-- /liver-compare -->, with the figures and with "
        "results.csv beside it, a row for each run; runs that it already lists are compared too, and stay in it",
    )
    parser.add_argument(
        "--figures",
        metavar="FOLDER",
        help="write figures there as PNG and, for a paper, as PDF and SVG: a forest plot, at the width of a journal's "
        "column as PDF, the heat map of a two-option sweep and, if losses were measured, loss_by_metric",
    )
    return parser


if __name__ == "__main__":
    main()
