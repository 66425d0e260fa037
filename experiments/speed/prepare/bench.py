"""Time to prepare full-size scans, beside nnU-Net.

Compares liver-prepare with nnU-Net's plan_and_preprocess, one process of one thread each, and our work on a case with
the least possible: decompressing the files and writing as many bytes.
"""

import os
import time
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory

from isal.igzip import IGzipFile

from experiments.speed import nnunet
from experiments.speed.command import ROOT, add_counts, interpreter, parser_of, publish
from experiments.speed.machine import machine
from experiments.speed.phantoms import MATRIX, write_scan
from experiments.speed.process import app, measure
from experiments.speed.rounds import judged_ratio, ratios, time_rows
from lightning_liver.data.convert import prepare_case
from lightning_liver.data.sources import Case
from lightning_liver.tables import Row, text_table

OURS, NNUNET = "liver-prepare", "nnUNetv2_plan_and_preprocess"
INSIDE, LEAST = "our work on a case", "decompress, write as much"
SPEED_UP, FRACTION = 5.0, 0.6
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
_BLOCK = 2**20

Pair = tuple[Path, Path]  # volume and mask


def prepare_ours(scans: Path, work: Path) -> float:
    """Return seconds of liver-prepare with one worker, on the scans' own grids."""
    store = _removed(work / "store")
    options = ["data=lits", f"data.root={scans}", "data.spacing_mm=null", "data.workers=1", f"data.store={store}"]
    command = app("prepare", *options, f"hydra.run.dir={work}/hydra")
    return measure(command, cwd=ROOT, environment=ONE_THREAD).seconds


def prepare_nnunet(pairs: Sequence[Pair], work: Path, python: Path) -> float:
    """Return seconds of nnU-Net's command, one process for each of its parts; its raw files are links."""
    raw = _removed(work / "nnunet") / "raw" / nnunet.NAME
    for position, (folder, ending) in enumerate((("imagesTr", "_0000"), ("labelsTr", ""))):
        (raw / folder).mkdir(parents=True)
        for number, pair in enumerate(pairs):
            (raw / folder / f"case_{number}{ending}.nii.gz").symlink_to(pair[position].resolve())
    nnunet.write_dataset(raw, len(pairs))
    command = python.with_name("nnUNetv2_plan_and_preprocess")
    environment = nnunet.environment(work / "nnunet") | ONE_THREAD
    return measure(
        [command, "-d", nnunet.NUMBER, "-c", "2d", "-np", "1", "-npfp", "1"], environment=environment
    ).seconds


def inside(pairs: Sequence[Pair], store: Path) -> float:
    """Return seconds of our work on the cases, in this process."""
    _removed(store).mkdir()
    began = time.perf_counter()
    for number, (volume, labels) in enumerate(pairs):
        prepare_case(Case(str(number), str(number), volume, labels), store, None)
    return time.perf_counter() - began


def least(pairs: Sequence[Pair], store: Path) -> float:
    """Return seconds to decompress the same files and to write as many bytes as the store has."""
    size, block = sum(path.stat().st_size for path in store.rglob("*.b2nd")), os.urandom(_BLOCK)
    began = time.perf_counter()
    for path in (path for pair in pairs for path in pair):
        with IGzipFile(path) as stream:
            while stream.read(_BLOCK):
                pass
    with (store / "written").open("wb") as file:
        for _ in range(0, size, _BLOCK):
            file.write(block)
    return time.perf_counter() - began


def rows(taken: Mapping[str, Sequence[float]], cases: int) -> list[Row]:
    """Return a row per program: median over rounds and range."""
    return time_rows(taken, "program", "s a case", scale=1 / cases)


def verdict(taken: Mapping[str, Sequence[float]]) -> list[str]:
    """Judge each target by ratios of the same round."""
    beside_nnunet, beside_least = ratios(taken[NNUNET], taken[OURS]), ratios(taken[LEAST], taken[INSIDE])
    return [
        judged_ratio(f"{OURS} is x times as quick as {NNUNET}", beside_nnunet, ">=", SPEED_UP, 1),
        judged_ratio("fraction of the speed of decompressing and writing", beside_least, ">=", FRACTION, 2),
    ]


def times(given: Namespace, work: Path) -> dict[str, list[float]]:
    """Return seconds of each contender in each round."""
    scans, python = work / "scans", interpreter("nnunet", given.nnunet)
    pairs = [write_scan(scans, case, slices=given.slices, matrix=given.matrix) for case in range(given.cases)]
    taken: dict[str, list[float]] = {name: [] for name in (OURS, NNUNET, INSIDE, LEAST)}
    for _ in range(given.rounds):
        taken[OURS].append(prepare_ours(scans, work))
        taken[NNUNET].append(prepare_nnunet(pairs, work, python))
        taken[INSIDE].append(inside(pairs, work / "inside"))
        taken[LEAST].append(least(pairs, work / "inside"))
    return taken


def main(arguments: Sequence[str]) -> None:
    parser = parser_of("prepare", __doc__)
    parser.add_argument("--nnunet", type=Path, default=nnunet.PYTHON, help="Python that has nnunetv2 (%(default)s)")
    add_counts(
        parser,
        cases=(2, "cases that are prepared"),
        slices=(500, "slices of a case"),
        matrix=(MATRIX, "pixels along a side of a slice"),
        rounds=(3, "rounds over all programs"),
    )
    given = parser.parse_args(arguments)
    with TemporaryDirectory() as work:
        taken = times(given, Path(work))
    size = f"{given.matrix}x{given.matrix}x{given.slices}"
    title = f"{given.cases} scans of {size}, one process, one thread; median of {given.rounds} rounds and their range"
    tables = [title, text_table(rows(taken, given.cases)), "\n".join(verdict(taken))]
    text = "\n\n".join([machine(("numpy", "blosc2", "isal")), *tables])
    publish(text, parser, given)


def _removed(folder: Path) -> Path:
    rmtree(folder, ignore_errors=True)
    return folder
