"""liver-compare multirun/losses --baseline bce"""

import shlex
import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter

from lightning_liver.apps.main import stop
from lightning_liver.errors import LiverError

_ABOUT = """Compare the runs in some folders: a mean with its 95 % interval for each configuration, paired tests with
Holm's correction, a ranking and how stable it is, and in plain words what the data can and cannot tell. Published
figures stand beside the means to orient oneself by; where losses were measured in testing, which loss does best under
which metric.
The unit is the patient. A configuration is what differs between the runs, seed and fold apart."""


def main() -> None:
    """Print a comparison of runs, or with --status what became of each."""
    given = _parser().parse_args()
    try:
        print(_answer(given))
    except LiverError as error:
        stop(error)


def _answer(given: Namespace) -> str:
    from lightning_liver.commands.compare import comparison, status  # here, so that --help is quick

    if given.status:
        return status(given.folders)
    command = shlex.join(["liver-compare", *sys.argv[1:]])
    what = (given.folders, given.metric, given.baseline, given.within, given.effects)
    return comparison(*what, given.write, given.figures, command)


def _parser() -> ArgumentParser:
    parser = ArgumentParser("liver-compare", description=_ABOUT, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument(
        "folders",
        nargs="+",
        metavar="FOLDER",
        help="a run folder, one above it as multirun/STUDY, a results.csv, or a folder with one as experiments/STUDY",
    )
    parser.add_argument("--baseline", metavar="NAME", help="compare with this one alone, named before looking")
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
        help="tell first what each option did, the others averaged away: for a sweep of hydra/sweeper=design",
    )
    parser.add_argument(
        "--status", action="store_true", help="only say which runs are complete, running, begun, pruned, failed and why"
    )
    parser.add_argument(
        "--write",
        metavar="README",
        help="replace the part between <!-- liver-compare --> and <!-- /liver-compare -->, with the figures and with "
        "results.csv beside it, a row a run; the runs that it already has are compared too, and stay in it",
    )
    parser.add_argument(
        "--figures",
        metavar="FOLDER",
        help="write there a forest plot, the heat map of a two-option sweep and, where losses were measured, "
        "loss_by_metric.csv and its picture",
    )
    return parser
