"""A sweep of two options as a grid, as text and as a heat map."""

import math
import re
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from lightning_liver.comparison.statistics import Comparison
from lightning_liver.metrics.intervals import Mean
from lightning_liver.report.drawing import FAINT, INK, SIZE, SMALL, VERMILION, make_figure, text_inches
from lightning_liver.report.numbers import counted, number_text, range_text
from lightning_liver.tables import MISSING, Row, text_table

BEST, ALIKE = "*", "~"

_CELL_INCHES = (1.2, 0.48)
_COLOURS = "cividis"  # uniform also for the colour-blind and in grey
_PART = re.compile(r"(?:^|\s)([\w.@+-]+)=")


class Grid(NamedTuple):
    """Names of configurations by the sorted values of two options; `row` is the option with more values."""

    row: str
    column: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    names: Mapping[tuple[str, str], str]


def two_option_grid(names: Collection[str]) -> Grid | None:
    """Return the grid of configurations that differ in exactly two options, None for any other study.

    Without two configurations that share a value there is no grid: it would not show how the options interact.
    """
    settings = {name: _settings(name) for name in names}
    options = {tuple(sorted(each)) for each in settings.values()}
    if len(options) != 1 or len(next(iter(options))) != 2:
        return None
    first, second = next(iter(settings.values()))
    values = {option: sorted({each[option] for each in settings.values()}, key=_order) for option in (first, second)}
    fewest, most = sorted(map(len, values.values()))
    if fewest < 2 or len(names) <= most:
        return None
    row, column = (second, first) if len(values[second]) > len(values[first]) else (first, second)
    cells = {(each[row], each[column]): name for name, each in settings.items()}
    return Grid(row, column, tuple(values[row]), tuple(values[column]), cells)


def best_and_alike(means: Mapping[str, Mean], pairs: Sequence[Comparison]) -> tuple[str, set[str]]:
    """Return the configuration with the best mean and those that the tests do not tell apart from it."""
    best = max(means, key=lambda name: means[name].mean or 0)
    different = {name for pair in pairs if pair.are_told_apart for name in pair[:2] if best in pair[:2]}
    return best, set(means) - different - {best}


def grid_text(grid: Grid, means: Mapping[str, Mean], structure: str, pairs: Sequence[Comparison], tests: int) -> str:
    """Return the grid as text: mean and 95 % interval in each cell.

    Args:
        pairs: all pairs of configurations, tested.
        tests: the number of tests in Holm's correction.
    """
    best, alike = best_and_alike(means, pairs)
    signs = {best: f" {BEST}"} | dict.fromkeys(alike, f" {ALIKE}")
    rows: list[Row] = []
    for value in grid.rows:
        names = {column: grid.names.get((value, column)) for column in grid.columns}
        cells = {c: _cell(means, name, " ") + signs.get(name, "") if name else MISSING for c, name in names.items()}
        rows.append({f"{grid.row} \\ {grid.column}": value} | cells)
    title = f"{structure.capitalize()} Dice by {grid.row} and {grid.column}: mean (95 % interval)"
    return f"{title}\n\n{text_table(rows)}\n\n{_caption(f'{BEST} best mean', tests, alike)}"


def heatmap(grid: Grid, means: Mapping[str, Mean], structure: str, pairs: Sequence[Comparison], tests: int) -> Figure:
    """Draw the grid; arguments as for grid_text."""
    best, alike = best_and_alike(means, pairs)
    caption = _caption("Outlined: best mean", tests, alike)
    missing = len(grid.names) < len(grid.rows) * len(grid.columns)
    title = f"{structure.capitalize()} Dice by {grid.row} and {grid.column}"
    width = max(_CELL_INCHES[0], *(text_inches(value) + 0.15 for value in grid.columns))
    figure, axes = make_figure(
        title,
        f"Mean and its 95 % interval, over patients and seeds. {caption}{' Hatched: not run.' * missing}",
        plot=(width * len(grid.columns), _CELL_INCHES[1] * len(grid.rows)),
        left=max(text_inches(value) for value in grid.rows) + 0.5,
        right=0.9,
        below=0.42,
    )
    cells = np.full((len(grid.rows), len(grid.columns)), np.nan)
    for (row, column), cell in grid.names.items():
        cells[grid.rows.index(row), grid.columns.index(column)] = means[cell].mean
    drawn = axes.imshow(cells, cmap=_COLOURS, aspect="auto")
    shades = np.asarray(drawn.norm(cells))
    _label(axes, grid)
    for y, x in np.ndindex(cells.shape):
        name = grid.names.get((grid.rows[y], grid.columns[x]), "")
        if not name:
            hatched = Rectangle((x - 0.5, y - 0.5), 1, 1, fc="#EEEEEE", ec="#9A9A9A", hatch="///", lw=0, gid="missing")
            axes.add_patch(hatched)
            continue
        sign = f" {ALIKE}" if name in alike else ""
        text = _cell(means, name, "\n", sign)
        color = "white" if shades[y, x] < 0.48 else INK
        axes.text(x, y, text, ha="center", va="center", fontsize=SIZE, color=color, linespacing=1.4)
        if name == best:
            axes.add_patch(Rectangle((x - 0.47, y - 0.46), 0.94, 0.92, fill=False, ec=VERMILION, lw=2.5, gid="best"))
    box = axes.get_position()
    bar = figure.add_axes((box.x1 + 0.15 / figure.get_figwidth(), box.y0, 0.14 / figure.get_figwidth(), box.height))
    figure.colorbar(drawn, cax=bar).outline.set_visible(False)
    bar.tick_params(labelsize=SMALL, colors=FAINT, length=2)
    return figure


def _settings(name: str) -> dict[str, str]:
    """Return the options in a configuration's name; a value may have spaces."""
    _, *parts = _PART.split(name)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def _order(value: str) -> tuple[bool, float, str]:
    """Return a sort key: numbers by value, then words."""
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    return (False, number, value) if math.isfinite(number) else (True, 0.0, value)


def _cell(means: Mapping[str, Mean], name: str, between: str, sign: str = "") -> str:
    mean, low, high = means[name]
    ends = range_text(low, high)
    return f"{number_text(mean)}{sign}{f'{between}({ends})' if ends else ''}"


def _caption(best: str, tests: int, alike: Collection[str]) -> str:
    test = f"the test over patients and seeds after Holm's correction over {counted(tests, 'test')}, all pairs"
    if not alike:
        return f"{best}; all others are told apart from it by {test}."
    return f"{best}; {ALIKE} not told apart from it by {test}: it may yet be as good."


def _label(axes: Axes, grid: Grid) -> None:
    axes.set_xticks(range(len(grid.columns)), labels=grid.columns, parse_math=False, fontsize=SIZE, color=INK)
    axes.set_yticks(range(len(grid.rows)), labels=grid.rows, parse_math=False, fontsize=SIZE, color=INK)
    axes.set_xlabel(grid.column, fontsize=SIZE, color=INK, parse_math=False)
    axes.set_ylabel(grid.row, fontsize=SIZE, color=INK, parse_math=False)
    axes.tick_params(length=0)
    axes.hlines(np.arange(1, len(grid.rows)) - 0.5, -0.5, len(grid.columns) - 0.5, color="white", lw=1)
    axes.vlines(np.arange(1, len(grid.columns)) - 0.5, -0.5, len(grid.rows) - 0.5, color="white", lw=1)
    axes.set_frame_on(False)
