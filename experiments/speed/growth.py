"""python -m experiments.speed.growth --write

Prints whether time grows with the number of cases and memory does not: preparing, and an epoch whose slices are as many
a case, with 10, 40 and 160 phantoms.
"""

import json
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from shutil import rmtree
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple

from experiments.speed.command import parser_of, publish
from experiments.speed.machine import machine
from experiments.speed.rounds import in_turns
from experiments.speed.watched import Watched, watch
from lightning_liver.data.phantom.data_set import cases as phantoms
from lightning_liver.data.prepare import prepare
from lightning_liver.data.sources import Case
from lightning_liver.tables import Row, text_table

ROOT = Path(__file__).parents[2]
COMMAND = "make bench-growth"
COUNTS = (10, 40, 160)
LINEAR, FLAT = 0.1, 0.05
HELD_OUT = "val:[6],test:[8]"  # so that only training grows


class Size(NamedTuple):
    """Of one number of cases.

    Args:
        stored: slices of all cases.
        prepare_s: of all cases, in one process.
        epoch_s: of all slices of an epoch.
        preparing, training: commands, whose memory counts.
    """

    cases: int
    stored: int
    prepare_s: float
    epoch_s: float
    preparing: Watched
    training: Watched


def prepare_s(found: Sequence[Case], store: Path) -> tuple[int, float]:
    """Slices of all cases, and the seconds that they took."""
    rmtree(store, ignore_errors=True)
    began = time.perf_counter()
    made = prepare(found, store=store, spacing_mm=None, workers=0, skip_bad=False)
    taken = time.perf_counter() - began
    return sum(record.shape[0] for record in made.cases.values()), taken


def preparing(options: Sequence[str], work: Path) -> Watched:
    rmtree(work / "store", ignore_errors=True)
    program = "from lightning_liver.apps.prepare import main; main()"
    told = [*options, "data.workers=1", f"hydra.run.dir={work}/hydra"]
    return watch([sys.executable, "-c", program, *told], cwd=ROOT)


def training(options: Sequence[str], work: Path, cases: int, slices: int) -> tuple[float, Watched]:
    """Seconds of an epoch, and the command with all that comes before and after."""
    run = work / "run"
    rmtree(run, ignore_errors=True)
    names = ",".join(str(n) for n in range(cases) if n not in (6, 8))
    small = ["model.base_channels=4", "trainer=cpu", "trainer.threads=1", "trainer.max_epochs=1", "report=false"]
    told = [*options, *small, f"data.slices_per_epoch={cases * slices}", f"data.split={{train:[{names}],{HELD_OUT}}}"]
    watched = watch([sys.executable, "train.py", *told, f"hydra.run.dir={run}"], cwd=ROOT)
    speed = json.loads((run / "timing.json").read_text())["slices_per_s"]
    return cases * slices / speed, watched


def size(cases: int, given: Namespace, work: Path) -> Size:
    root = work / "phantoms"
    fixed = {"seed": 0, "matrix": given.matrix, "tumour_fraction": 0.012}
    found = phantoms(root, count=cases, **fixed, phase=None, noise_hu=None, slice_mm=None, workers=None)
    options = [
        f"data.matrix={given.matrix}",
        f"data.size={given.matrix}",
        f"data.cases={cases}",
        "data.spacing_mm=null",
    ]
    options += [f"data.root={root}", f"data.store={work}/store"]
    stored, seconds = prepare_s(found, work / "timed")
    of_preparing = preparing(options, work)
    epoch_s, of_training = training(options, work, cases, given.slices)
    return Size(cases, stored, seconds, epoch_s, of_preparing, of_training)


def measured(given: Namespace, work: Path) -> list[Size]:
    """Of each number of cases the medians over rounds, which go through all of them, each beginning with another."""
    each = {str(cases): partial(size, cases, given, work / str(cases)) for cases in COUNTS}
    return [middle(sizes) for sizes in in_turns(each, given.rounds).values()]


def middle(sizes: Sequence[Size]) -> Size:
    """The median of each figure."""
    return Size(
        sizes[0].cases,
        sizes[0].stored,
        median(one.prepare_s for one in sizes),
        median(one.epoch_s for one in sizes),
        *(_middle([getattr(one, name) for one in sizes]) for name in ("preparing", "training")),
    )


def _middle(watched: Sequence[Watched]) -> Watched:
    return Watched(median(one.seconds for one in watched), int(median(one.peak_bytes for one in watched)))


def rows(sizes: Sequence[Size], slices: int) -> list[Row]:
    return [
        {
            "cases": one.cases,
            "prepare, ms a slice": 1000 * one.prepare_s / one.stored,
            "epoch, ms a slice": 1000 * one.epoch_s / (one.cases * slices),
            "preparing, peak MB": one.preparing.peak_bytes / 1e6,
            "training, peak MB": one.training.peak_bytes / 1e6,
        }
        for one in sizes
    ]


def verdict(table: Sequence[Row]) -> list[str]:
    """How far the first and the last row are from the one in the middle."""
    lines = []
    middle = table[len(table) // 2]
    for name in list(middle)[1:]:
        limit = FLAT if name.endswith("MB") else LINEAR
        furthest = max(abs(float(row[name] or 0) / float(middle[name] or 1) - 1) for row in table)
        word = "pass" if furthest <= limit else "FAIL"
        lines.append(f"{name}: within {furthest:.1%} of {middle['cases']} cases, target <= {limit:.0%}: {word}")
    return lines


def main() -> None:
    parser = _parser()
    given = parser.parse_args()
    with TemporaryDirectory() as work:
        table = rows(measured(given, Path(work)), given.slices)
    what = f"Phantoms of {given.matrix}x{given.matrix}, {given.slices} slices a case in an epoch"
    title = f"{what}; medians of {given.rounds} rounds"
    tables = [title, text_table(table), "\n".join(verdict(table))]
    text = "\n\n".join([machine(("torch", "numpy", "blosc2")), *tables])
    publish(text, parser, given, command=COMMAND, name="growth")


def _parser() -> ArgumentParser:
    parser = parser_of(__doc__)
    parser.add_argument("--matrix", type=int, default=128, help="pixels along a side of a slice (%(default)s)")
    parser.add_argument("--slices", type=int, default=16, help="of a case in an epoch (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="over all numbers of cases (%(default)s)")
    return parser


if __name__ == "__main__":
    main()
