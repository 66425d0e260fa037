"""Learning curve of a loop: Dice on the test cases against what was labelled, and at which effort."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from matplotlib.figure import Figure

from lightning_liver.active.loop_state import Correction
from lightning_liver.report.drawing import BLUE, FAINT, INK, RULE, SIZE, SMALL, VERMILION, write_png
from lightning_liver.tables import Row, text_table, write_csv

_COLOURS = {"liver": BLUE, "tumour": VERMILION}


@dataclass(frozen=True)
class RoundScore:
    """A round: what its training had, the effort of all corrections until then, and its scores.

    Args:
        cases: labelled, wholly or in part.
        slices: that the expert looked at.
        slices_changed, voxels, contour_mm: sums of metrics.correction_effort; the first choice is drawn from nothing.
        liver, tumour: mean Dice of the test cases; None where it is undefined.
    """

    round: int
    cases: int
    slices: int
    slices_changed: int
    voxels: int
    contour_mm: float
    liver: float | None
    tumour: float | None

    @staticmethod
    def of(number: int, answers: Sequence[Sequence[Correction]], metrics: Mapping[str, float | None]) -> "RoundScore":
        """Return the point of a round.

        Args:
            answers: of this round and those before.
            metrics: of its run.
        """
        every = [answer for of_round in answers for answer in of_round]
        return RoundScore(
            number,
            len({answer.case for answer in every}),
            sum(answer.slices_shown for answer in every),
            sum(answer.slices for answer in every),
            sum(answer.voxels for answer in every),
            sum(answer.contour_mm for answer in every),
            metrics.get("test/liver/dice_per_case"),
            metrics.get("test/tumour/dice_per_case"),
        )


def write_tables(folder: Path, answers: Sequence[Sequence[Correction]], points: Sequence[RoundScore]) -> None:
    """Write effort.csv, a row for each answer, and curve.csv and curve.png.

    Args:
        answers: of each round.
    """
    rows = [{"round": n, **asdict(answer)} for n, of_round in enumerate(answers, start=1) for answer in of_round]
    write_csv(folder / "effort.csv", rows)
    write_csv(folder / "curve.csv", curve_rows(points))
    write_png(curve_figure(points), folder / "curve.png")


def curve_rows(points: Sequence[RoundScore]) -> list[Row]:
    """Return a row for each round."""
    return [asdict(point) for point in points]


def curve_table(points: Sequence[RoundScore]) -> str:
    """Return the curve as text."""
    rows: list[Row] = [
        {
            "round": point.round,
            "cases": point.cases,
            "slices": point.slices,
            "slices changed": point.slices_changed,
            "contour cm": round(point.contour_mm / 10),
            "Dice liver": point.liver,
            "Dice tumour": point.tumour,
        }
        for point in points
    ]
    return text_table(rows)


def curve_figure(points: Sequence[RoundScore]) -> Figure:
    """Draw mean Dice of liver and tumour against the labelled slices, and against the contour that was drawn."""
    figure = Figure(figsize=(7.2, 3.1), facecolor="white", layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    effort: dict[str, Sequence[float]] = {
        "labelled slices": [point.slices for point in points],
        "contour drawn, m": [point.contour_mm / 1000 for point in points],
    }
    for panel, (name, places) in zip(list(axes), effort.items(), strict=True):
        for structure, colour in _COLOURS.items():
            known = [
                (x, y) for x, point in zip(places, points, strict=True) if (y := getattr(point, structure)) is not None
            ]
            panel.plot([x for x, _ in known], [y for _, y in known], "o-", color=colour, markersize=4, label=structure)
        panel.set_xlabel(name, fontsize=SIZE, color=INK)
        panel.set_xlim(left=0)
        panel.set_ylim(0, 1)
        panel.grid(color=RULE, linewidth=0.5, alpha=0.6)
        panel.tick_params(labelsize=SMALL, colors=FAINT)
        for side in ("top", "right"):
            panel.spines[side].set_visible(False)
    axes[0].set_ylabel("mean Dice of the test cases", fontsize=SIZE, color=INK)
    axes[0].legend(fontsize=SMALL + 0.5, frameon=False, loc="best")
    figure.suptitle("Learning curve", fontsize=11, weight="bold", color=INK, x=0.01, ha="left")
    return figure
