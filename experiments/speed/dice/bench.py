"""Dice over minutes of training, beside a bare loop, MONAI and nnU-Net.

Trains each contender with a patient held out, unless its rows are in the results, and adds a row for every minute at
which weights were saved: Dice on that patient's scans. Takes about five hours on two cores; an interrupted call can be
repeated.
"""

import re
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

from experiments.speed import nnunet
from experiments.speed.command import README, parser_of
from experiments.speed.dice.contenders import CONTENDERS, job_of, rows_of, run_contender
from experiments.speed.dice.figure import draw
from experiments.speed.dice.results import HELD, append, costs, is_done, read, table, verdict
from experiments.speed.machine import machine
from lightning_liver.comparison.readme import MarkedBlock, write_block
from lightning_liver.report.drawing import write_png
from lightning_liver.tables import Row, text_table
from lightning_liver.types import STRUCTURES

HERE = Path(__file__).parent
RESULTS = HERE / "results.csv"
COMMAND = "make bench WHAT=dice DATA=FOLDER"


def train(given: Namespace) -> None:
    """Train every contender with every patient held out, except those whose rows exist."""
    for held in given.held:
        for name in given.contender:
            if given.minutes is None and is_done(read(given.results), name, held, given.seed):
                print(f"{name} without patient {held}: skipped, its rows exist", flush=True)
                continue
            save(given, name, rows_for(given, name, held))


def rows_for(given: Namespace, name: str, held: str) -> list[Row]:
    minutes = given.minutes or CONTENDERS[name].minutes
    words = [name, held, "seed", str(given.seed), f"{minutes:g}", "minutes", *given.overrides]
    folder = given.folder / re.sub(r"[^\w.,=-]+", "_", "-".join(words))
    patients = given.patients or given.data / "patients.csv"
    job = job_of(given.data, patients, held, minutes=minutes, seed=given.seed, folder=folder, overrides=given.overrides)
    print(f"{name} without patient {held}: {minutes:g} minutes, in {folder}", flush=True)
    run_contender(name, job, given.nnunet)
    return rows_of(name, job)


def save(given: Namespace, name: str, rows: Sequence[Row]) -> None:
    """Print rows, and append them to the results if the budget is the full one or the results another file."""
    shown = ("contender", "held", "minutes", "structure", "dice", "cases", "steps", "seconds", "preparation_s")
    print(text_table([{column: row[column] for column in shown} for row in rows]), flush=True)
    is_full = not given.overrides and all(row["budget"] == CONTENDERS[name].minutes for row in rows)
    if is_full or given.results != RESULTS:
        append(given.results, rows)


def tables(rows: Sequence[Row]) -> str:
    parts = [text_table(table(rows)), text_table(costs(rows)), "\n".join(verdict(rows))]
    where = dict.fromkeys(str(row["machine"]) for row in rows)
    versions = dict.fromkeys(f"{row['contender']}: {row['versions']}" for row in rows)
    return "\n\n".join(["\n".join([*where, *versions]) or machine(("torch",)), *filter(None, parts)])


def write(rows: Sequence[Row], text: str) -> None:
    names = {structure: f"{structure}.png" for structure in STRUCTURES if rows}
    for structure, name in names.items():
        write_png(draw(rows, structure), HERE / name)
    images = [f"![{structure} Dice over minutes of training](dice/{name})" for structure, name in names.items()]
    write_block(README, MarkedBlock(COMMAND, text, images), "dice")


def main(arguments: Sequence[str]) -> None:
    parser = _parser()
    given = parser.parse_args(arguments)
    if not given.table:
        if given.data is None:
            parser.error("--data: expected a folder of scans; give DATA=FOLDER, or --table to train nothing")
        train(given)
    rows = read(given.results)
    text = tables(rows)
    print(text, flush=True)
    if given.write:
        write(rows, text)


def _parser() -> ArgumentParser:
    parser = parser_of("dice", __doc__)
    parser.add_argument("--data", type=Path, help="folder with volume-N.nii.gz and segmentation-N.nii.gz")
    parser.add_argument("--patients", type=Path, help="CSV case,patient (patients.csv in the data's folder)")
    parser.add_argument("--contender", nargs="+", choices=CONTENDERS, default=[*CONTENDERS], help="(all)")
    parser.add_argument("--held", nargs="+", default=[*HELD], help="patients, each held out in turn (%(default)s)")
    parser.add_argument("--minutes", type=float, help="another budget, as a trial: rows are not saved")
    parser.add_argument(
        "--overrides", nargs="+", default=[], help="more options of train.py, as a trial: rows are not saved"
    )
    parser.add_argument("--seed", type=int, default=0, help="of training (%(default)s)")
    parser.add_argument("--nnunet", type=Path, default=nnunet.PYTHON, help="Python that has nnunetv2 (%(default)s)")
    parser.add_argument("--folder", type=Path, default=Path(".cache/dice"), help="for weights and masks (%(default)s)")
    parser.add_argument(
        "--results", type=Path, default=RESULTS, help="CSV; another one than the default takes any budget"
    )
    parser.add_argument("--table", action="store_true", help="train nothing, only print the results")
    return parser
