"""Forest plot: the mean of each configuration with its interval, its patients and its seeds."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lightning_liver.comparison.statistics import Scores
from lightning_liver.metrics.case.dice import DICE_PER_CASE
from lightning_liver.metrics.intervals import Mean
from lightning_liver.report.drawing import (
    BAND,
    BLUE,
    FAINT,
    INK,
    RULE,
    SIZE,
    SMALL,
    VERMILION,
    break_name,
    lines_inches,
    make_figure,
    text_inches,
)
from lightning_liver.report.numbers import number_text, range_text
from lightning_liver.report.references import REASON, Reference, line_label
from lightning_liver.tables import MISSING

Seeds = Mapping[str, Mapping[int, float]]

BASELINE = "baseline"
_PLOT_INCHES = 4.4
_NAME_CHARACTERS = 44
_ROW_INCHES, _LABEL_INCHES = 0.29, 0.16
_COLUMNS = {"patients": 0.6, "mean": 1.05, "95 % interval": 2.05, "SD of seeds": 2.85}  # right ends in inches
_RIGHT_INCHES = max(_COLUMNS.values())
_GOLDEN = 0.6180339887  # any number of its multiples modulo 1 is spread evenly


def forest(
    table: Scores,
    intervals: Mapping[str, Mean],
    seeds: Seeds,
    structure: str,
    known: Sequence[Reference] = (),
    baseline: str | None = None,
) -> Figure:
    """Draw the configurations, the best mean on top.

    Args:
        intervals: the mean of each configuration, with its interval.
        seeds: the mean of each seed; drawn if a configuration has more than one.
        known: published results, drawn as lines.
    """
    order = sorted(table, key=lambda name: -(intervals[name].mean or 0))
    labels = [break_name(f"{name} ({BASELINE})" if name == baseline else name, _NAME_CHARACTERS) for name in order]
    heights = np.array([max(_ROW_INCHES, lines_inches(label) + 0.07) for label in labels])
    header = _LABEL_INCHES * (len(known) + 1) + 0.08
    repeated = {name: list(seeds.get(name, {}).values()) for name in order if len(seeds.get(name, {})) > 1}
    figure, axes = make_figure(
        f"{structure.capitalize()} {DICE_PER_CASE}: mean over patients",
        _caption(bool(repeated), bool(known)),
        plot=(_PLOT_INCHES, header + heights.sum()),
        left=max(text_inches(label, weight="bold") for label in labels) + 0.1,
        right=_RIGHT_INCHES,
        below=0.42,
        handles=_legend(bool(repeated), baseline in order),
    )
    places = dict(zip(order, np.cumsum(heights) - heights / 2, strict=True))
    # y is in inches, downwards from the first row
    axes.set(ylim=(heights.sum(), -header), xlim=_limits(table, known))
    axes.set_yticks(list(places.values()), labels=labels, parse_math=False, fontsize=SIZE, color=INK)
    _draw_frame(axes, heights, structure)
    _draw_references(axes, known, heights.sum())
    if baseline in order:
        axes.get_yticklabels()[order.index(baseline)].set_fontweight("bold")
        axes.vlines(intervals[baseline].mean or 0, 0, heights.sum(), color=BLUE, lw=0.7, ls=(0, (1, 2)), gid=BASELINE)
    _draw_scores(axes, table, repeated, places)
    _draw_means(axes, intervals, places, baseline)
    for name, y in places.items():
        _draw_numbers(axes, y, len(table[name]), intervals[name], repeated.get(name, []))
    return figure


def _limits(table: Scores, known: Sequence[Reference]) -> tuple[float, float]:
    shown = [score for patients in table.values() for score in patients.values()] + [each.dice for each in known]
    pad = 0.03 * max(max(shown) - min(shown), 0.05)
    return min(shown) - pad, max(shown) + pad


def _draw_frame(axes: Axes, heights: np.ndarray, structure: str) -> None:
    ends = np.concatenate([[0.0], np.cumsum(heights)])
    for top, bottom in list(pairwise(ends))[::2]:
        band = axes.axhspan(top, bottom, xmin=-9, xmax=9, color=BAND, lw=0, clip_on=False, zorder=0)
        band.set_in_layout(False)  # it runs beyond the edges of the figure
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(RULE)
    axes.tick_params(axis="y", length=0, pad=6)
    axes.tick_params(axis="x", colors=FAINT, labelsize=SMALL + 0.5)
    axes.vlines(axes.get_xticks()[1:-1], 0, ends[-1], color="white", lw=1, zorder=0.5)
    axes.set_xlabel(f"{structure} {DICE_PER_CASE}", fontsize=SIZE, color=INK)
    for title, inches in _COLUMNS.items():
        _number(axes, -0.08, inches, title, FAINT)


def _draw_references(axes: Axes, known: Sequence[Reference], bottom: float) -> None:
    """Draw lines with their labels as stairs, on the side with more room."""
    low, high = axes.get_xlim()
    to_left = sum(each.dice > (low + high) / 2 for each in known) * 2 > len(known)
    for n, each in enumerate(sorted(known, key=lambda each: each.dice if to_left else -each.dice)):
        top = -_LABEL_INCHES * (n + 1) - 0.1
        colour = VERMILION if each.is_human else FAINT
        axes.vlines(each.dice, top, bottom, color=colour, lw=0.8, ls=(0, (4, 2)), gid="reference", zorder=1)
        axes.annotate(
            line_label(each),
            (each.dice, top),
            xytext=(-3 if to_left else 3, 0),
            textcoords="offset points",
            ha="right" if to_left else "left",
            va="center",
            fontsize=SMALL,
            color=colour,
            annotation_clip=False,
        )


def _draw_scores(axes: Axes, table: Scores, seeds: Mapping[str, Sequence[float]], places: Mapping[str, float]) -> None:
    patients = sorted({patient for scores in table.values() for patient in scores})
    # a patient has the same height in each row
    offsets = {patient: (n * _GOLDEN % 1 - 0.5) * 0.6 * _ROW_INCHES for n, patient in enumerate(patients)}
    dots = [(score, y + offsets[patient]) for name, y in places.items() for patient, score in table[name].items()]
    x, y = np.array(dots).T
    axes.scatter(x, y, s=7, color=FAINT, alpha=0.35, lw=0, zorder=2, gid="patients")
    ticks = [(mean, y) for name, y in places.items() for mean in seeds.get(name, [])]
    if ticks:
        x, y = np.array(ticks).T
        axes.vlines(x, y + 0.07, y + 0.14, color=VERMILION, lw=1.3, zorder=4, gid="seeds")


def _draw_means(axes: Axes, intervals: Mapping[str, Mean], places: Mapping[str, float], baseline: str | None) -> None:
    for name, y in places.items():
        mean, low, high = intervals[name]
        if low is not None and high is not None:
            axes.hlines(y, low, high, color=BLUE, lw=1.8, zorder=3, gid="interval")
        axes.plot([mean or 0], [y], zorder=5, gid="mean", **_mark(name == baseline))


def _mark(is_baseline: bool) -> dict[str, Any]:
    fill = "white" if is_baseline else BLUE
    return {"marker": "s", "ms": 5, "color": BLUE, "mfc": fill, "mew": 1.4, "ls": "none"}


def _draw_numbers(axes: Axes, y: float, patients: int, interval: Mean, seeds: Sequence[float]) -> None:
    mean, low, high = interval
    texts = (
        str(patients),
        number_text(mean),
        range_text(low, high) or MISSING,
        number_text(float(np.std(seeds, ddof=1)) if seeds else None),
    )
    for text, inches in zip(texts, _COLUMNS.values(), strict=True):
        _number(axes, y, inches, text, INK)


def _number(axes: Axes, y: float, inches: float, text: str, color: str) -> None:
    x = 1 + inches / _PLOT_INCHES
    axes.text(
        x, y, text, transform=axes.get_yaxis_transform(), ha="right", va="center", fontsize=SMALL + 0.5, color=color
    )


def _legend(seeds: bool, baseline: bool) -> list[Artist]:
    handles = [
        Line2D([], [], lw=1.8, label="mean, 95 % interval", **(_mark(False) | {"ls": "-"})),
        Line2D([], [], marker="o", ls="none", color=FAINT, alpha=0.5, ms=3, mew=0, label="a patient"),
    ]
    if seeds:
        handles.append(Line2D([], [], marker="|", ls="none", color=VERMILION, ms=6, mew=1.3, label="mean of a seed"))
    if baseline:
        handles.append(Line2D([], [], label=BASELINE, **_mark(True)))
    return list(handles)


def _caption(seeds: bool, known: bool) -> str:
    parts = ["Scans of a patient are averaged first; intervals are over patients and, with several, over seeds."]
    if seeds:
        parts.append("SD of seeds: standard deviation of the seeds' means.")
    if known:
        parts.append(f"Dashed: published results and human readers, not comparable: {REASON}.")
    return " ".join(parts)
