"""python -m experiments.speed.prepare --nnunet PYTHON --write

Prints what it takes to prepare scans of full size with one process of one thread: liver-prepare beside nnU-Net's
plan_and_preprocess, and our work on a case beside the least of it, decompressing the files and writing as many bytes.
"""

import json
import os
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory

from isal.igzip import IGzipFile

from experiments.speed.command import parser_of, publish
from experiments.speed.full_size import MATRIX, write_scan
from experiments.speed.machine import machine
from experiments.speed.rounds import middle_and_range
from experiments.speed.watched import watch
from lightning_liver.data.convert import prepare_case
from lightning_liver.data.sources import Case
from lightning_liver.tables import Row, text_table

ROOT = Path(__file__).parents[2]
COMMAND = "make bench-prepare"
OURS, NNUNET = "liver-prepare", "nnUNetv2_plan_and_preprocess"
INSIDE, LEAST = "our work on a case", "decompress, write as much"
QUICKER, SHARE = 5.0, 0.6
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
_BLOCK = 2**20
DATASET = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "liver": 1, "tumour": 2}, "file_ending": ".nii.gz"}

Pair = tuple[Path, Path]  # volume and mask


def ours(scans: Path, work: Path) -> float:
    """Seconds of the command, one worker, on the scans' own grids."""
    store = _gone(work / "store")
    program = "from lightning_liver.apps.prepare import main; main()"
    told = ["data=lits", f"data.root={scans}", "data.spacing_mm=null", "data.workers=1", f"data.store={store}"]
    return watch(
        [sys.executable, "-c", program, *told, f"hydra.run.dir={work}/hydra"], cwd=ROOT, environment=ONE_THREAD
    ).seconds


def nnunet(pairs: Sequence[Pair], work: Path, python: Path) -> float:
    """Seconds of the command, one process for each of its parts; the files are linked to."""
    raw = _gone(work / "nnunet") / "raw" / "Dataset501_CT"
    for position, (folder, ending) in enumerate((("imagesTr", "_0000"), ("labelsTr", ""))):
        (raw / folder).mkdir(parents=True)
        for number, pair in enumerate(pairs):
            (raw / folder / f"case_{number}{ending}.nii.gz").symlink_to(pair[position].resolve())
    (raw / "dataset.json").write_text(json.dumps(DATASET | {"numTraining": len(pairs)}))
    places = {f"nnUNet_{name}": str(work / "nnunet" / name) for name in ("raw", "preprocessed", "results")}
    command = python.absolute().with_name("nnUNetv2_plan_and_preprocess")
    return watch([command, "-d", "501", "-c", "2d", "-np", "1", "-npfp", "1"], environment=places | ONE_THREAD).seconds


def inside(pairs: Sequence[Pair], store: Path) -> float:
    """Seconds of our work on the cases, in this process."""
    _gone(store).mkdir()
    began = time.perf_counter()
    for number, (volume, labels) in enumerate(pairs):
        prepare_case(Case(str(number), str(number), volume, labels), store, None)
    return time.perf_counter() - began


def least(pairs: Sequence[Pair], store: Path) -> float:
    """Seconds to decompress the same files and to write as many bytes as the store has."""
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
    """A row a program: median over rounds and range."""
    made: list[Row] = []
    for name, seconds in taken.items():
        median, spread = middle_and_range([one / cases for one in seconds], 2)
        made.append({"program": name, "s a case": median, "range": spread})
    return made


def verdict(taken: Mapping[str, Sequence[float]]) -> list[str]:
    """Each target, as a ratio of the same round."""
    lines = []
    for what, above, below, target, digits in (
        (f"{OURS} is x times as quick as {NNUNET}", NNUNET, OURS, QUICKER, 1),
        ("share of the speed of decompressing and writing", LEAST, INSIDE, SHARE, 2),
    ):
        ratio, spread = middle_and_range([a / b for a, b in zip(taken[above], taken[below], strict=True)], digits)
        word = "pass" if ratio >= target else "FAIL"
        lines.append(f"{what}: {ratio:.{digits}f} ({spread}), target >= {target:g}: {word}")
    return lines


def times(given: Namespace, work: Path) -> dict[str, list[float]]:
    """Seconds of each in each round."""
    scans = work / "scans"
    pairs = [write_scan(scans, case, slices=given.slices, matrix=given.matrix) for case in range(given.cases)]
    taken: dict[str, list[float]] = {name: [] for name in (OURS, NNUNET, INSIDE, LEAST)}
    for _ in range(given.rounds):
        taken[OURS].append(ours(scans, work))
        taken[NNUNET].append(nnunet(pairs, work, given.nnunet))
        taken[INSIDE].append(inside(pairs, work / "inside"))
        taken[LEAST].append(least(pairs, work / "inside"))
    return taken


def main() -> None:
    parser = _parser()
    given = parser.parse_args()
    with TemporaryDirectory() as work:
        taken = times(given, Path(work))
    size = f"{given.matrix}x{given.matrix}x{given.slices}"
    title = f"{given.cases} scans of {size}, one process, one thread; median of {given.rounds} rounds and their range"
    tables = [title, text_table(rows(taken, given.cases)), "\n".join(verdict(taken))]
    text = "\n\n".join([machine(("numpy", "blosc2", "isal")), *tables])
    publish(text, parser, given, command=COMMAND, name="prepare")


def _gone(folder: Path) -> Path:
    rmtree(folder, ignore_errors=True)
    return folder


def _parser() -> ArgumentParser:
    parser = parser_of(__doc__)
    parser.add_argument("--nnunet", type=Path, required=True, help="Python of an environment that has nnunetv2")
    for name, default, what in (
        ("cases", 2, "that are prepared"),
        ("slices", 500, "of a case"),
        ("matrix", MATRIX, "pixels along a side of a slice"),
        ("rounds", 3, "over all programs"),
    ):
        parser.add_argument(f"--{name}", type=int, default=default, help=f"{what} (%(default)s)")
    return parser


if __name__ == "__main__":
    main()
