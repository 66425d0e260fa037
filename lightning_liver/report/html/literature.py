"""Comparison of a run's Dice with published results and human readers: in words, as charts and as tables."""

from collections.abc import Sequence

from matplotlib.axes import Axes

from lightning_liver.metrics.case.dice import DICE_PER_CASE
from lightning_liver.metrics.intervals import Mean, patient_means
from lightning_liver.report.html.blocks import Block, Cell, Chart, Column, Row, Section, Table, Text, note
from lightning_liver.report.html.results import interval, mean_cell, of_structure
from lightning_liver.report.html.theme import COLOURS, FAINT, HUMAN, INK, PAPER, RULE, SMALL, make_axes, svg_chart
from lightning_liver.report.numbers import number_text, range_text
from lightning_liver.report.patients import is_phantom
from lightning_liver.report.references import NOT_COMPARABLE, REASON, Position, Reference, position, references
from lightning_liver.runs.contents import Contents, Line, number
from lightning_liver.types import STRUCTURES

_WORDS = {
    Position.BELOW: "below the published range",
    Position.WITHIN: "overlapping the published range",
    Position.ABOVE_SOME: "within the published range",
    Position.ABOVE: "above the published range",
    Position.UNKNOWN: "Dice with too few patients to compare",
}


def verdict(contents: Contents) -> str:
    """Return the title: the result of the run in words."""
    if not contents.cases:
        return "Trained, but not tested"
    if is_phantom(contents):
        means = {structure: interval(contents.cases, structure, "dice").mean for structure in STRUCTURES}
        return "On phantoms: " + ", ".join(f"{name} Dice {number_text(mean, 2)}" for name, mean in means.items())
    liver, tumour = (_WORDS[_position_of(contents.cases, structure)] for structure in STRUCTURES)
    if liver == tumour:
        return f"Liver and tumour {liver}"
    return f"Liver {liver}, tumour {tumour.replace('the published range', 'it')}"


def headlines(contents: Contents) -> list[tuple[str, str, str, Chart]]:
    """Return, for each structure, name, mean Dice, a sentence on it and a chart beside the published results."""
    if not contents.cases:
        return []
    return [_headline(contents.cases, structure) for structure in STRUCTURES]


def caveat(contents: Contents) -> str:
    """Return why the scores cannot be compared with published results."""
    if is_phantom(contents):
        return (
            "Phantoms are simulated: these scores show that the pipeline learns, but not how well it does on scans. "
            f"Published results only give the scale and are {NOT_COMPARABLE}."
        )
    return f"Published results are {NOT_COMPARABLE}: {REASON}."


def literature_section(contents: Contents) -> Section:
    """Make the section: a table of published results and this run for each structure."""
    blocks: list[Block] = [Text(caveat(contents)), Row([_published(contents.cases, s) for s in STRUCTURES])]
    blocks.append(note("◆ human readers. Below each Dice: its position relative to this run's 95 % interval."))
    return Section("literature", "Comparison with published results", blocks)


def _position_of(cases: Sequence[Line], structure: str) -> Position:
    _, low, high = interval(cases, structure, "dice")
    return position(low, high, references(structure))


def _headline(cases: Sequence[Line], structure: str) -> tuple[str, str, str, Chart]:
    mean, known = interval(cases, structure, "dice"), references(structure)
    ends = range_text(mean.low, mean.high)
    interval_text = f"95 % interval {ends}" if ends else "too few patients for an interval"
    published = f"{known[0].dice:g} to {known[-1].dice:g}"
    sentence = f"{interval_text}; published, {NOT_COMPARABLE}: {published}"
    return structure, number_text(mean.mean), sentence, _strip(cases, structure, mean)


def _strip(cases: Sequence[Line], structure: str, mean: Mean) -> Chart:
    """Draw patients, their mean with its interval, and the published results on one axis."""
    known, own = references(structure), of_structure(cases, structure)
    patients = patient_means([number(line["dice"]) for line in own], [line["patient"] for line in own]).tolist()
    figure, axes = make_axes(1.25)
    lowest = min([known[0].dice, *patients])
    axes.set(xlim=(max(0.0, lowest - 0.12 * (1 - lowest)), 1), ylim=(-1.55, 1.2), yticks=[])
    axes.set_xlabel(f"{structure} {DICE_PER_CASE}")
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", color=RULE, lw=0.4)
    axes.set_axisbelow(True)
    axes.scatter(patients, [0.55] * len(patients), s=16, color=COLOURS[structure], alpha=0.45, lw=0, clip_on=False)
    _draw_mean(axes, structure, mean)
    _draw_published(axes, known)
    for y, text in ((0.55, "patients"), (-0.15, "mean"), (-1, "published,\n◆ human")):
        axes.text(-0.015, y, text, transform=axes.get_yaxis_transform(), ha="right", va="center", size=SMALL, color=INK)
    alt = (
        f"{structure} Dice of {len(patients)} patients, mean {number_text(mean.mean)} "
        f"{range_text(mean.low, mean.high)}, above {len(known)} published results from {known[0].dice:g} to "
        f"{known[-1].dice:g}"
    )
    return svg_chart(figure, f"strip-{structure}", alt=alt)


def _draw_mean(axes: Axes, structure: str, mean: Mean) -> None:
    colour = COLOURS[structure]
    if mean.low is not None and mean.high is not None:
        axes.axvspan(mean.low, mean.high, color=colour, alpha=0.12, lw=0)
        axes.hlines(-0.15, mean.low, mean.high, color=colour, lw=2.4)
    if mean.mean is not None:
        axes.plot(mean.mean, -0.15, marker="s", ms=6, color=colour, mec=PAPER, mew=1)


def _draw_published(axes: Axes, known: Sequence[Reference]) -> None:
    axes.hlines(-1, known[0].dice, known[-1].dice, color=FAINT, lw=1)
    for each in known:
        style = {"marker": "D", "ms": 5, "mew": 0} if each.is_human else {"marker": "|", "ms": 7, "mew": 1.2}
        axes.plot(each.dice, -1, color=HUMAN if each.is_human else FAINT, **style)  # type: ignore[arg-type]


def _published(cases: Sequence[Line], structure: str) -> Table:
    known = references(structure)
    mean = interval(cases, structure, "dice")
    rows = [
        [
            Cell(f"◆ {each.label}" if each.is_human else each.label, each.source),
            Cell(f"{each.dice:g}", _beside_interval(mean, each.dice)),
            Cell(NOT_COMPARABLE, each.of),
        ]
        for each in reversed(known)
    ]
    rows.append([Cell("This run"), mean_cell(mean), Cell("", "its test cases")])
    columns = [Column("Published", numeric=False), Column("Dice"), Column("With this run", numeric=False)]
    return Table(f"{structure.capitalize()}: {DICE_PER_CASE}", columns, rows)


def _beside_interval(mean: Mean, dice: float) -> str:
    if mean.low is None or mean.high is None:
        return ""
    return "above" if dice > mean.high else "below" if dice < mean.low else "inside"
