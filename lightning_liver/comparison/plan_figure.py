"""Figure of a plan: the smallest difference that a study tells, by its numbers of patients and seeds."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

from lightning_liver.comparison.plan import MOST_PATIENTS, StudyPlan
from lightning_liver.comparison.power import POWER, smallest_difference
from lightning_liver.metrics.case.dice import DICE_PER_CASE
from lightning_liver.metrics.intervals import FEWEST_PATIENTS
from lightning_liver.report.drawing import BLUE, FAINT, INK, RULE, SIZE, SMALL, VERMILION, make_figure
from lightning_liver.report.numbers import counted

SEEDS = (2, 3, 5, 10, 30)
_PATIENTS = (8, 16, 32, 64, 125, 250, 500, MOST_PATIENTS)
_PLOT_INCHES = (5.2, 3.2)
_LEAST = 0.001
_TICKS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1)


def plan_figure(plan: StudyPlan) -> Figure:
    """Draw the smallest difference on logarithmic axes, the target, the study at hand and the cheapest size."""
    figure, axes = make_figure(
        f"{plan.structure.capitalize()} {DICE_PER_CASE}: smallest difference that is told in {POWER:.0%} of studies",
        f"A line is a number of seeds. Dashed: the wanted difference, {plan.target:g}. Square: the study at hand. "
        f"Circle: the fewest runs that tell the wanted difference. A fold tests "
        f"{counted(plan.size.patients, 'patient')}; Holm's correction is over {counted(plan.size.tests, 'test')} of "
        f"{counted(plan.size.configurations, 'configuration')}.",
        plot=_PLOT_INCHES,
        left=0.65,
        right=0.75,
        below=0.5,
    )
    axes.set(xscale="log", yscale="log")
    for n, seeds in enumerate(SEEDS):
        _draw_line(axes, plan, seeds, 0.35 + 0.65 * n / (len(SEEDS) - 1))
    axes.axhline(plan.target, color=VERMILION, lw=1.2, ls=(0, (4, 3)), gid="target")
    if plan.smallest < 1:
        axes.plot([plan.size.all_patients], [plan.smallest], marker="s", ms=6, color=INK, gid="study")
    if best := plan.cheapest():
        circle: dict[str, Any] = {"marker": "o", "ms": 9, "mfc": "none", "mec": VERMILION, "mew": 1.6}
        place = best.size.all_patients, best.smallest
        axes.plot(*zip(place, strict=True), gid="cheapest", **circle)
        label = f"{best.size.seeds} seeds, {counted(best.size.folds, 'fold')}"
        axes.annotate(label, place, (7, 5), textcoords="offset points", fontsize=SMALL, color=VERMILION)
    _label(axes, plan)
    return figure


def _draw_line(axes: Axes, plan: StudyPlan, seeds: int, alpha: float) -> None:
    own = plan.size.patients
    folds = sorted({max(round(each / own), -(-FEWEST_PATIENTS // own)) for each in _PATIENTS} | {plan.size.folds})
    points = [
        (own * each, smallest_difference(plan.variances, plan.size._replace(seeds=seeds, folds=each))) for each in folds
    ]
    shown = [(patients, told) for patients, told in points if told < 1]
    if not shown:
        return
    x, y = zip(*shown, strict=True)
    axes.plot(x, y, color=BLUE, alpha=alpha, lw=1.6, gid="seeds")
    axes.annotate(
        f"{seeds} seeds", (x[-1], y[-1]), (5, 0), textcoords="offset points", va="center", fontsize=SMALL, color=INK
    )


def _label(axes: Axes, plan: StudyPlan) -> None:
    low, high = axes.get_ylim()
    axes.set_ylim(max(min(low, plan.target / 1.5), _LEAST), min(max(high, 1.5 * plan.target), 1))
    axes.set_yticks([tick for tick in _TICKS if axes.get_ylim()[0] <= tick <= axes.get_ylim()[1]])
    axes.set_xticks([patients for patients in _PATIENTS if axes.get_xlim()[0] <= patients <= axes.get_xlim()[1]])
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
        axis.set_minor_locator(NullLocator())
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(RULE)
    axes.tick_params(colors=FAINT, labelsize=SMALL + 0.5)
    axes.grid(color=RULE, alpha=0.35, lw=0.6)
    axes.set_xlabel("patients", fontsize=SIZE, color=INK)
    axes.set_ylabel("smallest difference", fontsize=SIZE, color=INK)
