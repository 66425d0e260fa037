"""Flow of cases: found, refused or left out, and split."""

from collections.abc import Sequence

from matplotlib.axes import Axes

from lightning_liver.data.splits import PARTS
from lightning_liver.report.html.blocks import Block, Cell, Chart, Column, Folded, Table, missing
from lightning_liver.report.html.theme import FAINT, INK, RULE, SIZE, make_axes, svg_chart
from lightning_liver.report.numbers import counted
from lightning_liver.runs.contents import Line

_LEFT_OUT = {
    "refused": "could not be read",
    "unlabelled": "without labels",
    "unused": "not in this split",
}
_NAMES = {"train": "Training", "val": "Validation", "test": "Test"}


def flow(data: Sequence[Line]) -> list[Block]:
    """Return a chart of the flow of cases, and a table of refused ones with the reasons.

    Args:
        data: lines of data.csv.
    """
    if "reason" not in data[0]:
        return [missing("Refused cases were not recorded by the version of this run: only the split is known.")]
    refused = [line for line in data if line["part"] == "refused"]
    blocks: list[Block] = [_chart(data)]
    if refused:
        columns = [Column(name, numeric=False) for name in ("Case", "Patient", "Reason")]
        rows = [[Cell(line["case"]), Cell(line["patient"]), Cell(line["reason"])] for line in refused]
        blocks.append(Folded(f"{counted(len(refused), 'case')} could not be read", [Table("Refused", columns, rows)]))
    return blocks


def _chart(data: Sequence[Line]) -> Chart:
    out = {part: [line for line in data if line["part"] == part] for part in _LEFT_OUT}
    split = {part: [line for line in data if line["part"] == part] for part in PARTS}
    used = [line for lines in split.values() for line in lines]
    gone = [f"{len(lines)} {_LEFT_OUT[part]}" for part, lines in out.items() if lines] or ["none"]
    figure, axes = make_axes(2.5)
    axes.axis("off")
    axes.set(xlim=(0, 12), ylim=(0, 10))
    _box(axes, 4, 9, f"Found\n{_counts(data)}")
    _box(axes, 10, 7, "Left out\n" + "\n".join(gone))
    _box(axes, 4, 5, f"Split by patient\n{_counts(used)}")
    _arrow(axes, (4, 8.1), (4, 5.9))
    _arrow(axes, (4, 7), (8.2, 7))
    for x, part in zip((2, 6, 10), PARTS, strict=True):
        _box(axes, x, 1, f"{_NAMES[part]}\n{_counts(split[part])}")
        _arrow(axes, (4, 4.1), (x, 1.9))
    alt = f"Flow of cases: found {_counts(data, ', ')}; left out {', '.join(gone)}; " + "; ".join(
        f"{_NAMES[part].lower()} {_counts(lines, ', ')}" for part, lines in split.items()
    )
    return svg_chart(figure, "flow", alt=alt, caption="Flow of cases")


def _counts(lines: Sequence[Line], between: str = "\n") -> str:
    return between.join(
        [
            counted(len({line["case"] for line in lines}), "scan"),
            counted(len({line["patient"] for line in lines}), "patient"),
        ]
    )


def _box(axes: Axes, x: float, y: float, text: str) -> None:
    box = {"boxstyle": "round,pad=0.4", "facecolor": "none", "edgecolor": RULE}
    axes.text(x, y, text, ha="center", va="center", size=SIZE, color=INK, bbox=box, linespacing=1.3)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    axes.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": FAINT, "lw": 0.8})
