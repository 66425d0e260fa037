"""Gather the loops of this study, write results.csv, curves.png and the tables of README.md.

python -m experiments.active_learning [multirun/active_learning]
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from experiments.active_learning.loops import (
    EFFORTS,
    ROUNDS,
    STRUCTURES,
    Curve,
    areas,
    curves,
    effort_at,
    merge,
    rows_of_loop,
)
from lightning_liver.comparison.readme import MarkedBlock, write_block
from lightning_liver.comparison.statistics import Comparison, compare, configuration_mean
from lightning_liver.metrics.intervals import Mean
from lightning_liver.report.drawing import FAINT, INK, RULE, SIZE, SMALL, write_png

HERE = Path(__file__).parent
BASELINE = "random"
# Okabe and Ito
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_MARKERS = "os^Dv<"


class Tables(MarkedBlock):
    """Block of a README whose text is Markdown."""

    def markdown(self) -> str:
        return f"    {self.command}\n\n{self.text}"


def main() -> None:
    """Gather what is there and write everything."""
    loops = Path(sys.argv[1] if len(sys.argv) > 1 else "multirun/active_learning")
    found = [row for workspace in sorted(loops.glob("seed-*")) for row in rows_of_loop(workspace)]
    rows = merge(HERE / "results.csv", found)
    if not rows:
        raise SystemExit(f"{loops}: no complete loop; run liver-active -m experiment=active_learning first")
    means = curves(rows)
    text = "\n\n".join([_areas(rows), _effort(means), _saved(means)])
    print(text)
    write_block(HERE / "README.md", Tables("python -m experiments.active_learning", text), "active_learning")
    write_png(figure(means), HERE / "curves.png")


def _areas(rows: Sequence[Mapping[str, str]]) -> str:
    """Return means and comparisons with random, for each structure."""
    tables = {structure: areas(rows, structure, range(1, ROUNDS + 1)) for structure in STRUCTURES}
    compared = {
        structure: {
            each.first if each.second == BASELINE else each.second: each for each in compare([table], BASELINE)[0]
        }
        for structure, table in tables.items()
    }
    head = ["strategy", "seeds"]
    for structure in STRUCTURES:
        head += [f"{structure}: mean Dice over rounds", "less random", "p"]
    order = sorted(tables["liver"], key=lambda name: -(configuration_mean(tables["liver"][name]).mean or 0))
    lines = []
    for name in order:
        line = [name, str(len(tables["liver"][name]))]
        for structure in STRUCTURES:
            line.append(_interval(configuration_mean(tables[structure][name])))
            line += _difference(compared[structure].get(name), name)
        lines.append(line)
    return markdown_table("Area under the learning curve, with 95 % intervals over patients and seeds", head, lines)


def _difference(comparison: Comparison | None, name: str) -> list[str]:
    if comparison is None:
        return ["", ""]
    mean, low, high = comparison.difference
    if comparison.first != name:
        mean, low, high = (None if value is None else -value for value in (mean, high, low))
    return [_interval(Mean(mean, low, high), signed=True), f"{comparison.p:.3f}"]


def _interval(mean: Mean, *, signed: bool = False) -> str:
    sign = "+" if signed else ""
    value = "-" if mean.mean is None else f"{mean.mean:{sign}.3f}"
    return value if mean.low is None or mean.high is None else f"{value} [{mean.low:{sign}.3f}, {mean.high:{sign}.3f}]"


def _effort(means: Mapping[str, Curve]) -> str:
    head = ["strategy", "labelled slices", "contour drawn, m", "liver Dice", "tumour Dice"]
    lines = [
        [
            name,
            f"{curve.effort['slices'][-1]:.0f}",
            f"{curve.effort['contour_mm'][-1] / 1000:.1f}",
            *(f"{curve.dice[structure][-1]:.3f}" for structure in STRUCTURES),
        ]
        for name, curve in means.items()
    ]
    return markdown_table(f"After round {ROUNDS}, means over seeds", head, lines)


def _saved(means: Mapping[str, Curve]) -> str:
    """Return the effort at which each mean curve reaches the last Dice of random."""
    head = ["strategy"] + [
        f"{structure}: {name}" for structure in STRUCTURES for name in ("labelled slices", "contour drawn, m")
    ]
    lines = []
    for name, curve in means.items():
        line = [name]
        for structure in STRUCTURES:
            wanted = means[BASELINE].dice[structure][-1]
            for effort, unit in EFFORTS.items():
                value = effort_at(curve, structure, wanted, effort)
                line.append("not reached" if value is None else f"{value / unit:.0f}")
        lines.append(line)
    return markdown_table(
        "Effort at which the mean curve first reaches the Dice of random after its last round", head, lines
    )


def markdown_table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table under its title."""
    lines = [head, ["---"] * len(head), *rows]
    return f"{title}\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines)


def figure(means: Mapping[str, Curve]) -> Figure:
    """Draw mean Dice against labelled slices and against the contour drawn, random in black."""
    made = Figure(figsize=(8.2, 6.2), facecolor="white", layout="constrained")
    panels = made.subplots(2, 2, sharey="row", sharex="col")
    names = {"slices": "labelled slices", "contour_mm": "contour drawn, m"}
    others = [name for name in means if name != BASELINE]
    for row, structure in enumerate(STRUCTURES):
        for column, (effort, unit) in enumerate(EFFORTS.items()):
            panel = panels[row][column]
            for name, colour, marker in zip(others, _COLOURS, _MARKERS, strict=True):
                places = [value / unit for value in means[name].effort[effort]]
                panel.plot(places, means[name].dice[structure], color=colour, marker=marker, markersize=4, label=name)
            places = [value / unit for value in means[BASELINE].effort[effort]]
            panel.plot(places, means[BASELINE].dice[structure], "o-", color="black", linewidth=2.4, label=BASELINE)
            panel.grid(color=RULE, linewidth=0.5, alpha=0.6)
            panel.tick_params(labelsize=SMALL, colors=FAINT)
            panel.spines[["top", "right"]].set_visible(False)
            if row:
                panel.set_xlabel(names[effort], fontsize=SIZE, color=INK)
        panels[row][0].set_ylabel(f"mean {structure} Dice", fontsize=SIZE, color=INK)
    made.suptitle("Learning curves, means over seeds", fontsize=11, weight="bold", color=INK, x=0.01, ha="left")
    handles, labels = panels[0][0].get_legend_handles_labels()
    made.legend(handles, labels, loc="outside lower center", ncols=7, fontsize=SMALL, frameon=False)
    return made


if __name__ == "__main__":
    main()
