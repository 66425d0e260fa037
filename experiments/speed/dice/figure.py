"""Figure of Dice over minutes of training: a thick line per contender, a thin one per patient held out."""

import statistics
from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from experiments.speed.dice.clock import MARKS
from experiments.speed.dice.contenders import NNUNET, NNUNET_MIRRORED
from experiments.speed.dice.results import mean_dice
from lightning_liver.report.drawing import BLUE, FAINT, INK, RULE, SMALL, VERMILION, make_figure
from lightning_liver.tables import Row

# the two literal colours are from Okabe and Ito, too
COLOURS = {"ours": VERMILION, "bare": "#009E73", "monai": "#CC79A7", NNUNET: BLUE, NNUNET_MIRRORED: BLUE}
CAPTION = (
    "{mean}; thin lines: each patient held out. Minutes of training on the same processor, preparation and prediction "
    "not counted; the learning rate goes down over each contender's whole budget."
)

Points = list[tuple[float, float]]


def curve(rows: Sequence[Row], contender: str, structure: str, patients: Sequence[str]) -> Points:
    """Return minutes and mean over patients, where all of them have a value."""
    made: Points = []
    for minutes in sorted({float(row["minutes"] or 0) for row in rows if row["contender"] == contender}):
        found = [mean_dice(rows, contender, minutes, structure, held) for held in patients]
        known = [dice for dice in found if dice is not None]
        if len(known) == len(patients):
            made.append((minutes, statistics.mean(known)))
    return made


def draw(rows: Sequence[Row], structure: str) -> Figure:
    shown = [name for name in COLOURS if any(row["contender"] == name for row in rows)]
    marker = {NNUNET_MIRRORED: "D"}
    handles = [Line2D([], [], color=COLOURS[n], marker=marker.get(n, "o"), ms=4, label=n) for n in shown]
    title = f"{structure.capitalize()} Dice over minutes of training"
    held = {name: {str(row["held"]) for row in rows if row["contender"] == name} for name in shown}
    common = sorted(set.intersection(*held.values()))  # only means over the same patients are comparable
    mean = f"Thick lines: mean over {' and '.join(common)}, whom all have" if common else "They share no patient"
    caption = CAPTION.format(mean=mean)
    figure, axes = make_figure(title, caption, plot=(5.4, 3.0), left=0.55, right=0.2, below=0.5, handles=handles)
    for name in shown:
        for patient in sorted(held[name]):
            axes.plot(*_xy(curve(rows, name, structure, [patient])), color=COLOURS[name], lw=0.6, alpha=0.5)
        if common:
            of_all = _xy(curve(rows, name, structure, common))
            axes.plot(*of_all, color=COLOURS[name], lw=1.8, marker=marker.get(name, "o"), ms=4)
    axes.set(xscale="log", ylim=(0, 1), xlabel="minutes", ylabel="Dice per case")
    axes.set_xticks(MARKS, labels=[f"{mark:g}" for mark in MARKS], fontsize=SMALL, color=INK)
    axes.minorticks_off()
    axes.grid(color=RULE, lw=0.4)
    axes.tick_params(colors=FAINT, labelsize=SMALL)
    return figure


def _xy(points: Points) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]
