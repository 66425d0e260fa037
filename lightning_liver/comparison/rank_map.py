"""Rank map of training loss against metric: the rank of each configuration under each metric."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from lightning_liver.comparison.loss_metric import DICE, ONE_MINUS, Matrix, agreement, ranks
from lightning_liver.report.drawing import FAINT, INK, SIZE, SMALL, VERMILION, break_name, make_figure, text_inches

_CELL_INCHES = 0.29
_NAME_CHARACTERS = 44
_COLOURS = "Blues_r"
_TOP = 0.85  # of the colours' range, so that the last ranks are not white like missing values


def order(table: Matrix, own: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Return configurations and metrics in the order of drawing.

    Configurations go by the first Dice present, the best first; metrics follow the configurations that were trained
    with them, so that own losses are on the diagonal, and then come the losses that none was trained with.
    """
    leading = next(iter(table.values()), {})
    names = sorted({name for scores in table.values() for name in scores}, key=lambda n: (-leading.get(n, -np.inf), n))
    wanted = [*DICE, *dict.fromkeys(f"{ONE_MINUS}{own.get(name)}" for name in names)]
    return names, [*(metric for metric in wanted if metric in table), *(m for m in table if m not in wanted)]


def rank_map(table: Matrix, own: Mapping[str, str]) -> Figure:
    """Draw the ranks.

    Args:
        own: the loss that each configuration was trained with, as it is named in measuring.
    """
    names, metrics = order(table, own)
    labels = [break_name(name, _NAME_CHARACTERS) for name in names]
    known = [dice for dice in DICE if any(agreement(table, metric, dice) is not None for metric in metrics)]
    figure, axes = make_figure(
        "Training loss against metric: ranks, 1 is best",
        f"A row is a training configuration, ordered by {metrics[0]}; a column is a metric, rank 1 its greatest value. "
        "Outlined: the loss that the row was trained with. "
        + ("ρ: Spearman's rank correlation of the column with Dice over the rows. " if known else "")
        + "Ranks are of means, without a test.",
        plot=(_CELL_INCHES * len(metrics), _CELL_INCHES * len(names)),
        left=max(map(text_inches, [*labels, *map(_rho, known)])) + 0.1,
        right=0.1,
        above=max(map(text_inches, metrics)) + 0.1,
        below=0.1 + _CELL_INCHES * len(known),
    )
    cells = np.full((len(names), len(metrics)), np.nan)
    for x, metric in enumerate(metrics):
        for name, rank in ranks(table[metric]).items():
            cells[names.index(name), x] = rank
    last = max(2.0, float(np.nanmax(cells)))
    axes.imshow(cells, cmap=_COLOURS, vmin=1, vmax=1 + (last - 1) / _TOP, aspect="auto")
    _label(axes, labels, metrics)
    for y, x in zip(*np.nonzero(np.isfinite(cells)), strict=True):
        color = "white" if cells[y, x] - 1 < 0.45 * (last - 1) else INK
        weight = "bold" if cells[y, x] == 1 else "normal"
        axes.text(x, y, f"{cells[y, x]:.0f}", ha="center", va="center", fontsize=SMALL, color=color, weight=weight)
    for y, name in enumerate(names):
        for x, metric in enumerate(metrics):
            if metric == f"{ONE_MINUS}{own.get(name)}":
                box = Rectangle((x - 0.45, y - 0.45), 0.9, 0.9, fill=False, ec=VERMILION, lw=2, gid="own", zorder=3)
                axes.add_patch(box)
    for n, dice in enumerate(known):
        _draw_agreement(axes, table, metrics, dice, len(names) + 0.1 + 0.8 * n)
    return figure


def _rho(dice: str) -> str:
    return f"ρ with {dice}"


def _draw_agreement(axes: Axes, table: Matrix, metrics: Sequence[str], dice: str, y: float) -> None:
    axes.text(-0.75, y, _rho(dice), ha="right", va="center", fontsize=SMALL, color=FAINT)
    for x, metric in enumerate(metrics):
        rho = None if metric == dice else agreement(table, metric, dice)
        text = "" if rho is None else f"{rho:.1f}".replace("-0.0", "0.0")
        axes.text(x, y, text, ha="center", va="center", fontsize=SMALL, color=FAINT, gid="agreement")


def _label(axes: Axes, names: Sequence[str], metrics: Sequence[str]) -> None:
    axes.xaxis.tick_top()
    axes.set_xticks(range(len(metrics)), labels=metrics, rotation=90, parse_math=False, fontsize=SIZE, color=INK)
    axes.set_yticks(range(len(names)), labels=names, parse_math=False, fontsize=SIZE, color=INK)
    axes.tick_params(length=0)
    axes.set_frame_on(False)
    count = sum(metric in DICE for metric in metrics)
    axes.hlines(np.arange(1, len(names)) - 0.5, -0.5, len(metrics) - 0.5, color="white", lw=0.8)
    axes.vlines(np.arange(1, len(metrics)) - 0.5, -0.5, len(names) - 0.5, color="white", lw=0.8)
    axes.vlines(count - 0.5, -0.5, len(names) - 0.5, color="white", lw=5)
