"""python -m experiments.speed.dice_over_minutes --data DIR

Trains what is missing of ours, a bare loop, MONAI and nnU-Net, each with a patient held out, and adds a row for every
minute at which weights were kept: Dice on that patient's scans. --table prints what there is, --write keeps it.
"""

import re
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

from experiments.speed.dice.contenders import CONTENDERS, job_of, rows_of, run_contender
from experiments.speed.dice.figure import draw
from experiments.speed.dice.results import HELD, append, costs, is_done, read, table, verdict
from experiments.speed.machine import machine
from lightning_liver.comparison.readme import Block, write_block
from lightning_liver.errors import LiverError
from lightning_liver.report.drawing import write_png
from lightning_liver.tables import Row, text_table
from lightning_liver.types import STRUCTURES

HERE = Path(__file__).parent
RESULTS = HERE / "dice_over_minutes.csv"
COMMAND = "make bench-dice DATA=FOLDER"


def train(given: Namespace) -> None:
    """Every contender with every patient held out, but those whose rows are there."""
    for held in given.held:
        for name in given.contender:
            if given.minutes is None and is_done(read(given.results), name, held, given.seed):
                print(f"{name} without patient {held}: done before", flush=True)
                continue
            keep(given, name, rows_for(given, name, held))


def rows_for(given: Namespace, name: str, held: str) -> list[Row]:
    minutes = given.minutes or CONTENDERS[name].minutes
    words = [name, held, "seed", str(given.seed), f"{minutes:g}", "minutes", *given.typed]
    folder = given.folder / re.sub(r"[^\w.,=-]+", "_", "-".join(words))
    patients = given.patients or given.data / "patients.csv"
    job = job_of(given.data, patients, held, minutes=minutes, seed=given.seed, folder=folder, typed=given.typed)
    print(f"{name} without patient {held}: {minutes:g} minutes, in {folder}", flush=True)
    run_contender(name, job, given.nnunet)
    return rows_of(name, job)


def keep(given: Namespace, name: str, rows: Sequence[Row]) -> None:
    """Rows of a full budget; others are only printed."""
    shown = ("contender", "held", "minutes", "structure", "dice", "cases", "steps", "seconds", "preparation_s")
    print(text_table([{column: row[column] for column in shown} for row in rows]), flush=True)
    is_full = not given.typed and all(row["budget"] == CONTENDERS[name].minutes for row in rows)
    if is_full or given.results != RESULTS:
        append(given.results, rows)


def text_of(rows: Sequence[Row]) -> str:
    parts = [text_table(table(rows)), text_table(costs(rows)), "\n".join(verdict(rows))]
    where = dict.fromkeys(str(row["machine"]) for row in rows)
    versions = dict.fromkeys(f"{row['contender']}: {row['versions']}" for row in rows)
    return "\n\n".join(["\n".join([*where, *versions]) or machine(("torch",)), *filter(None, parts)])


def write(rows: Sequence[Row], text: str) -> None:
    names = {structure: f"dice-{structure}.png" for structure in STRUCTURES if rows}
    for structure, name in names.items():
        write_png(draw(rows, structure), HERE / name)
    images = [f"![{structure} Dice over minutes of training]({name})" for structure, name in names.items()]
    write_block(HERE / "README.md", Block(COMMAND, text, images), "dice")


def main() -> None:
    given = _parser().parse_args()
    try:
        if not given.table:
            train(given)
        rows = read(given.results)
        text = text_of(rows)
        print(text, flush=True)
        if given.write:
            write(rows, text)
    except LiverError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


def _parser() -> ArgumentParser:
    parser = ArgumentParser(description=__doc__.partition("\n")[2].strip())
    parser.add_argument("--data", type=Path, help="a folder with volume-N.nii.gz and segmentation-N.nii.gz")
    parser.add_argument("--patients", type=Path, help="a CSV case,patient (patients.csv in the data's folder)")
    parser.add_argument("--contender", nargs="+", choices=CONTENDERS, default=[*CONTENDERS], help="(all)")
    parser.add_argument("--held", nargs="+", default=[*HELD], help="patients, each held out in turn (%(default)s)")
    parser.add_argument("--minutes", type=float, help="another budget, to try; its rows are not kept")
    parser.add_argument("--typed", nargs="+", default=[], help="more options of train.py, to try; rows are not kept")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--nnunet", type=Path, default=Path(".cache/nnunet/bin/python"), help="Python with nnU-Net")
    parser.add_argument("--folder", type=Path, default=Path(".cache/dice"), help="for weights and masks (%(default)s)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="a CSV; another one takes any budget")
    parser.add_argument("--table", action="store_true", help="train nothing")
    parser.add_argument("--write", action="store_true", help="into the README beside this file")
    return parser


if __name__ == "__main__":
    main()
