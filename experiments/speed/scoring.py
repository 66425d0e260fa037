"""python -m experiments.speed.scoring SCORER --python PYTHON --write

Runs the official LiTS scorer and ours on the same files, and prints whether the figures are equal and how long each
took: little masks that ask everything, and phantoms of 512x512 pixels, of which the time is told.
"""

import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from experiments.speed.command import parser_of, publish
from experiments.speed.machine import machine
from experiments.speed.made_masks import SETS, Labels, Pair, write_set
from experiments.speed.official import NAMES, Printed, program_of, run_official
from experiments.speed.rounds import middle_and_range
from lightning_liver.data.phantom.data_set import render
from lightning_liver.evaluation.pairs import match_files
from lightning_liver.evaluation.score import score_pairs
from lightning_liver.metrics.aggregate import Figures, data_set_figures
from lightning_liver.tables import Row, text_table

COMMAND = "make bench SCORER=FOLDER"
PHANTOMS = (0, 1, 2)
TARGET = 5.0
UNEQUAL = "not equal"

Official = Callable[[Path], Printed | str]
Seconds = tuple[float, float]  # of the official scorer and of ours


def phantom_pair(case: int, *, matrix: int, slices: int) -> Pair:
    """A phantom's labels enlarged to a scan's size, and a prediction that is moved, has holes and sees specks."""
    volume, labels = render(case, seed=0, matrix=matrix // 2, tumour_fraction=0.012)
    shape = (slices, matrix, matrix)
    truth = labels[np.ix_(*(np.arange(n) * size // n for n, size in zip(shape, labels.shape, strict=True)))]
    spacing_mm = [mm * size / n for mm, size, n in zip(volume.spacing_mm, labels.shape, shape, strict=True)]
    affine = np.diag((-spacing_mm[2], -spacing_mm[1], spacing_mm[0], 1.0))
    return Pair(truth, _predicted(truth, np.random.default_rng(case)), affine)


def _predicted(truth: Labels, rng: np.random.Generator, specks: int = 40) -> Labels:
    prediction = np.roll(truth, (1, 3, -2), (0, 1, 2))
    inside = np.argwhere(prediction == 1)
    for place in inside[rng.integers(0, len(inside), specks)]:
        _swap(prediction, place, 1, 2)
    for place in np.argwhere(prediction == 2)[::5000]:
        _swap(prediction, place, 2, 1)
    return prediction


def _swap(labels: Labels, place: Sequence[int], old: int, new: int) -> None:
    """In a box of three slices that begins at a place."""
    z, y, x = place
    block = labels[z : z + 3, y : y + 5, x : x + 5]
    block[block == old] = new


def run_ours(folder: Path) -> tuple[Figures, float]:
    """Figures of ref/ and res/ in the official mode, and the seconds of reading and scoring."""
    began = time.perf_counter()
    pairs = match_files(folder / "ref", folder / "res").pairs
    scored = score_pairs(pairs, mode="official", tolerance_mm=1.0, workers=0)
    seconds = time.perf_counter() - began
    return data_set_figures([one.score for one in scored if one.score is not None], "test"), seconds


def compared(name: str, pairs: Sequence[Pair], official: Official, *, rounds: int) -> tuple[Row, list[Seconds]]:
    """Are the figures equal? And the seconds of the official scorer and ours in each round."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "set"
        write_set(folder, tuple(pairs))
        done = [(official(folder), *run_ours(folder)) for _ in range(rounds)]
    printed, figures, _ = done[0]
    told = f"none: the official scorer ends with {printed}" if isinstance(printed, str) else _told(printed, figures)
    seconds = [(theirs.seconds, ours) for theirs, _, ours in done if isinstance(theirs, Printed)]
    return {"masks": name, "cases": len(pairs), "figures": told}, seconds


def verdict(rows: Sequence[Row], seconds: Sequence[Seconds]) -> list[str]:
    """Each target."""
    wrong = [str(row["masks"]) for row in rows if str(row["figures"]).startswith(UNEQUAL)]
    ratio, spread = middle_and_range([theirs / ours for theirs, ours in seconds], 1)
    return [
        f"figures: {'FAIL: ' + ', '.join(wrong) if wrong else 'equal wherever the official scorer prints any: pass'}",
        f"ours is {ratio:.1f} ({spread}) times as quick, target >= {TARGET:g}: {'pass' if ratio >= TARGET else 'FAIL'}",
    ]


def time_rows(seconds: Sequence[Seconds], cases: int) -> list[Row]:
    """Seconds a case: median over rounds and range."""
    rows: list[Row] = []
    for name, taken in zip(("official", "ours"), zip(*seconds, strict=True), strict=True):
        median, spread = middle_and_range([one / cases for one in taken], 2)
        rows.append({"scorer": name, "s a case": median, "range": spread})
    return rows


def main() -> None:
    parser = _parser()
    given = parser.parse_args()
    program = program_of(given.scorer)

    def official(folder: Path) -> Printed | str:
        return run_official(given.python, program, folder)

    rows = [compared(name, pairs, official, rounds=1)[0] for name, pairs in SETS.items()]
    phantoms = [phantom_pair(case, matrix=512, slices=given.slices) for case in PHANTOMS]
    row, seconds = compared(f"phantoms, 512x512x{given.slices}", phantoms, official, rounds=given.rounds)
    rows.append(row)
    title = f"Phantoms, reading included, one thread: median of {given.rounds} rounds and their range"
    tables = [text_table(rows), title, text_table(time_rows(seconds, len(phantoms))), "\n".join(verdict(rows, seconds))]
    text = "\n\n".join([machine(("numpy", "scipy", "nibabel")), *tables])
    publish(text, parser, given, command=COMMAND, name="scoring")


def _told(printed: Printed, ours: Figures) -> str:
    values = {name: ours[f"test/{NAMES[name]}"] for name in printed.figures}
    wrong = [name for name, value in values.items() if value is None or f"{value:.3f}" != printed.figures[name]]
    return f"{UNEQUAL}: {', '.join(wrong)}" if wrong else f"{len(printed.figures)} equal"


def _parser() -> ArgumentParser:
    parser = parser_of(__doc__)
    parser.add_argument("scorer", type=Path, help="a checkout of PatrickChrist/lits-challenge-scoring")
    parser.add_argument("--python", type=Path, required=True, help="that has the scorer's requirements")
    parser.add_argument("--rounds", type=int, default=3, help="over the phantoms (%(default)s)")
    parser.add_argument("--slices", type=int, default=120, help="of a phantom (%(default)s)")
    return parser


if __name__ == "__main__":
    main()
