"""Figures and time of scoring, beside the official LiTS scorer.

Both score the same files: small masks that cover all special cases, and phantoms of 512x512 pixels, which are timed.
"""

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from experiments.speed.command import add_counts, interpreter, parser_of, publish
from experiments.speed.machine import machine
from experiments.speed.phantoms import TUMOUR_FRACTION, VERSION
from experiments.speed.rounds import judged, median_and_range, ratios
from experiments.speed.rounds import time_rows as rows_of_times
from experiments.speed.scoring.masks import SETS, Labels, Pair, write_set
from experiments.speed.scoring.official import NAMES, Printed, program_of, run_official
from lightning_liver.data.phantom.data_set import render
from lightning_liver.evaluation.pairs import match_files
from lightning_liver.evaluation.score import score_pairs
from lightning_liver.metrics.aggregate import Figures, data_set_figures
from lightning_liver.tables import Row, text_table

PYTHON = Path(".cache/scorer/bin/python")  # made by `make bench`
PHANTOMS = (0, 1, 2)
TARGET = 5.0
UNEQUAL = "not equal"

Official = Callable[[Path], Printed | str]
Seconds = tuple[float, float]  # of the official scorer and of ours


def phantom_pair(case: int, *, matrix: int, slices: int) -> Pair:
    """Return a phantom's labels at a scan's size, and a prediction: shifted, with holes and specks."""
    volume, labels = render(case, seed=0, matrix=matrix // 2, tumour_fraction=TUMOUR_FRACTION, version=VERSION)
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
    """Replace a label in a box of three slices that begins at a place."""
    z, y, x = place
    block = labels[z : z + 3, y : y + 5, x : x + 5]
    block[block == old] = new


def run_ours(folder: Path) -> tuple[Figures, float]:
    """Return the figures of ref/ and res/ in the official mode, and the seconds of reading and scoring."""
    began = time.perf_counter()
    pairs = match_files(folder / "ref", folder / "res").pairs
    scored = score_pairs(pairs, mode="official", tolerance_mm=1.0, workers=0)
    seconds = time.perf_counter() - began
    return data_set_figures([one.score for one in scored if one.score is not None], "test"), seconds


def compare(name: str, pairs: Sequence[Pair], official: Official, *, rounds: int) -> tuple[Row, list[Seconds]]:
    """Compare the figures of both scorers; also return the seconds of each round."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "set"
        write_set(folder, tuple(pairs))
        done = [(official(folder), *run_ours(folder)) for _ in range(rounds)]
    printed, figures, _ = done[0]
    if isinstance(printed, str):
        difference = f"none: the official scorer ends with {printed}"
    else:
        difference = _difference(printed, figures)
    seconds = [(theirs.seconds, ours) for theirs, _, ours in done if isinstance(theirs, Printed)]
    return {"masks": name, "cases": len(pairs), "figures": difference}, seconds


def verdict(rows: Sequence[Row], seconds: Sequence[Seconds]) -> list[str]:
    """Judge the figures, and the time by ratios of the same round."""
    wrong = [str(row["masks"]) for row in rows if str(row["figures"]).startswith(UNEQUAL)]
    ratio, spread = median_and_range(ratios(*zip(*seconds, strict=True)), 1)
    return [
        f"figures: {'FAIL: ' + ', '.join(wrong) if wrong else 'equal wherever the official scorer prints any: pass'}",
        judged(f"ours is {ratio:.1f} ({spread}) times as quick", ratio, ">=", TARGET),
    ]


def time_rows(seconds: Sequence[Seconds], cases: int) -> list[Row]:
    """Return seconds a case: median over rounds and range."""
    taken = dict(zip(("official", "ours"), zip(*seconds, strict=True), strict=True))
    return rows_of_times(taken, "scorer", "s a case", scale=1 / cases)


def main(arguments: Sequence[str]) -> None:
    parser = parser_of("scoring", __doc__)
    parser.add_argument(
        "--scorer", type=Path, required=True, help="checkout of PatrickChrist/lits-challenge-scoring; SCORER= of make"
    )
    parser.add_argument(
        "--python", type=Path, default=PYTHON, help="Python that has the scorer's requirements (%(default)s)"
    )
    add_counts(parser, rounds=(3, "rounds over the phantoms"), slices=(120, "slices of a phantom"))
    given = parser.parse_args(arguments)
    program, python = program_of(given.scorer), interpreter("python", given.python)

    def official(folder: Path) -> Printed | str:
        return run_official(python, program, folder)

    rows = [compare(name, pairs, official, rounds=1)[0] for name, pairs in SETS.items()]
    phantoms = [phantom_pair(case, matrix=512, slices=given.slices) for case in PHANTOMS]
    row, seconds = compare(f"phantoms, 512x512x{given.slices}", phantoms, official, rounds=given.rounds)
    rows.append(row)
    title = f"Phantoms, reading included, one thread: median of {given.rounds} rounds and their range"
    tables = [text_table(rows), title, text_table(time_rows(seconds, len(phantoms))), "\n".join(verdict(rows, seconds))]
    text = "\n\n".join([machine(("numpy", "scipy", "nibabel")), *tables])
    publish(text, parser, given)


def _difference(printed: Printed, ours: Figures) -> str:
    values = {name: ours[f"test/{NAMES[name]}"] for name in printed.figures}
    wrong = [name for name, value in values.items() if value is None or f"{value:.3f}" != printed.figures[name]]
    return f"{UNEQUAL}: {', '.join(wrong)}" if wrong else f"{len(printed.figures)} equal"
