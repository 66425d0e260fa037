"""Time and memory of preparing and of an epoch with 10, 40 and 160 cases.

Time should grow in proportion to the cases, memory should not. An epoch has a fixed number of slices per case.
"""

import sys
import time
from argparse import Namespace
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from shutil import rmtree
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple

from experiments.speed.command import ROOT, add_counts, parser_of, publish
from experiments.speed.machine import machine
from experiments.speed.phantoms import TUMOUR_FRACTION, VERSION
from experiments.speed.phantoms import options as phantom_options
from experiments.speed.process import Usage, app, measure
from experiments.speed.rounds import judged, round_robin
from lightning_liver.data.phantom.data_set import cases as phantoms
from lightning_liver.data.prepare import prepare
from lightning_liver.data.sources import Case
from lightning_liver.runs.timing import read_timing
from lightning_liver.tables import Row, text_table

COUNTS = (10, 40, 160)
LINEAR, FLAT = 0.1, 0.05
HELD_OUT = "val:[6],test:[8]"  # so that only training grows


class Size(NamedTuple):
    """Measurements for one number of cases.

    Args:
        stored: slices of all cases.
        prepare_s: seconds for all cases, in one process.
        epoch_s: seconds for all slices of an epoch.
        preparing, training: the commands, for their memory.
    """

    cases: int
    stored: int
    prepare_s: float
    epoch_s: float
    preparing: Usage
    training: Usage


def timed_prepare(found: Sequence[Case], store: Path) -> tuple[int, float]:
    """Return the slices of all cases, and the seconds to prepare them."""
    rmtree(store, ignore_errors=True)
    began = time.perf_counter()
    made = prepare(found, store=store, spacing_mm=None, workers=0, skip_bad=False)
    taken = time.perf_counter() - began
    return sum(record.shape[0] for record in made.cases.values()), taken


def preparing(options: Sequence[str], work: Path) -> Usage:
    rmtree(work / "store", ignore_errors=True)
    return measure(app("prepare", *options, "data.workers=1", f"hydra.run.dir={work}/hydra"), cwd=ROOT)


def training(options: Sequence[str], work: Path, cases: int, slices: int) -> tuple[float, Usage]:
    """Return the seconds of an epoch, and the usage of the whole command."""
    run = work / "run"
    rmtree(run, ignore_errors=True)
    names = ",".join(str(n) for n in range(cases) if n not in (6, 8))
    small = ["model.base_channels=4", "trainer=cpu", "trainer.threads=1", "trainer.max_epochs=1", "report=false"]
    overrides = [
        *options,
        *small,
        f"data.slices_per_epoch={cases * slices}",
        f"data.split={{train:[{names}],{HELD_OUT}}}",
    ]
    usage = measure([sys.executable, "train.py", *overrides, f"hydra.run.dir={run}"], cwd=ROOT)
    speed = read_timing(run).slices_per_s
    assert speed is not None, "it took steps"
    return cases * slices / speed, usage


def size(cases: int, given: Namespace, work: Path) -> Size:
    root = work / "phantoms"
    found = phantoms(
        root,
        count=cases,
        seed=0,
        matrix=given.matrix,
        tumour_fraction=TUMOUR_FRACTION,
        phase=None,
        noise_hu=None,
        slice_mm=None,
        workers=None,
        version=VERSION,
    )
    options = [f"data.size={given.matrix}", f"data.root={root}", f"data.store={work}/store"]
    options += phantom_options(given.matrix, cases)
    stored, seconds = timed_prepare(found, work / "timed")
    of_preparing = preparing(options, work)
    epoch_s, of_training = training(options, work, cases, given.slices)
    return Size(cases, stored, seconds, epoch_s, of_preparing, of_training)


def sizes_of(given: Namespace, work: Path) -> list[Size]:
    """Return the medians over rounds for each number of cases."""
    each = {str(cases): partial(size, cases, given, work / str(cases)) for cases in COUNTS}
    return [median_size(sizes) for sizes in round_robin(each, given.rounds).values()]


def median_size(sizes: Sequence[Size]) -> Size:
    """Return the median of each measurement."""
    return Size(
        sizes[0].cases,
        sizes[0].stored,
        median(one.prepare_s for one in sizes),
        median(one.epoch_s for one in sizes),
        *(_median_usage([getattr(one, name) for one in sizes]) for name in ("preparing", "training")),
    )


def _median_usage(usages: Sequence[Usage]) -> Usage:
    return Usage(median(one.seconds for one in usages), int(median(one.peak_bytes for one in usages)))


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
    """Judge the deviation of all rows from the middle one."""
    lines = []
    middle = table[len(table) // 2]
    for name in list(middle)[1:]:
        limit = FLAT if name.endswith("MB") else LINEAR
        furthest = max(abs(float(row[name] or 0) / float(middle[name] or 1) - 1) for row in table)
        text = f"{name}: within {furthest:.1%} of {middle['cases']} cases"
        lines.append(judged(text, furthest, "<=", limit, "{:.0%}"))
    return lines


def main(arguments: Sequence[str]) -> None:
    parser = parser_of("growth", __doc__)
    add_counts(
        parser,
        matrix=(128, "pixels along a side of a slice"),
        slices=(16, "slices per case in an epoch"),
        rounds=(3, "rounds over all numbers of cases"),
    )
    given = parser.parse_args(arguments)
    with TemporaryDirectory() as work:
        table = rows(sizes_of(given, Path(work)), given.slices)
    phantom = f"Phantoms of {given.matrix}x{given.matrix}, {given.slices} slices a case in an epoch"
    title = f"{phantom}; medians of {given.rounds} rounds"
    tables = [title, text_table(table), "\n".join(verdict(table))]
    text = "\n\n".join([machine(("torch", "numpy", "blosc2")), *tables])
    publish(text, parser, given)
