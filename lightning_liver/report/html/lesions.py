"""Which tumours were found: recall by their size, and how many of the predicted ones are none."""

from collections.abc import Sequence
from typing import NamedTuple

from scipy.stats import binomtest

from lightning_liver.metrics.aggregate import BANDS_MM
from lightning_liver.report.html.blocks import Block, Cell, Chart, Column, Row, Section, Table, Text, missing, note
from lightning_liver.report.html.theme import COLOURS, FAINT, INK, RULE, SMALL, make_axes, svg_chart
from lightning_liver.runs.contents import Contents, Line, mode_of, number

OVERLAPS = {"detected_0": "Overlap > 0", "detected_50": "Overlap > 0.5"}


class Proportion(NamedTuple):
    """So many of so many; `low` and `high` are the ends of its 95 % interval."""

    found: int
    of: int
    low: float
    high: float

    @property
    def value(self) -> float:
        return self.found / self.of


def proportion(flags: Sequence[bool]) -> Proportion | None:
    """A share with Wilson's interval; None of nothing.

    Source: Wilson 1927, doi:10.1080/01621459.1927.10502953.
    """
    if not flags:
        return None
    low, high = binomtest(sum(flags), len(flags)).proportion_ci(method="wilson")
    return Proportion(sum(flags), len(flags), float(low), float(high))


def lesions_section(contents: Contents) -> Section:
    """Recall in a sentence, drawn and as a table by bands of diameter."""
    title = "Tumours found, by size"
    if contents.lesions is None:
        return Section("lesions", title, [missing("This run did not count lesions: it has no lesions.csv.")])
    reference = [line for line in contents.lesions if line["kind"] == "reference"]
    predicted = [line for line in contents.lesions if line["kind"] == "predicted"]
    blocks: list[Block] = [Text(_sentence(reference, predicted))]
    if reference:
        blocks.append(Row([_chart(reference), _table(reference, mode_of(contents))]))
        blocks.append(
            note(
                "A tumour counts as found if a predicted one that was matched with it overlaps it (intersection over "
                "union). Intervals are Wilson's, 95 %, and take lesions as independent: those of one patient are "
                "alike, so the truth is a little less certain."
            )
        )
    return Section("lesions", title, blocks)


def band_of(diameter_mm: float) -> int:
    """The number of the band; a diameter at an edge belongs to the larger one."""
    return max(n for n, (low, _) in enumerate(BANDS_MM.values()) if diameter_mm >= low)


def band_name(band: int) -> str:
    low, high = list(BANDS_MM.values())[band]
    if low == 0:
        return f"under {high:g} mm"
    return f"{low:g} to {high:g} mm" if high < float("inf") else f"{low:g} mm and more"


def _flags(lines: Sequence[Line], column: str, band: int | None = None) -> list[bool]:
    chosen = [line for line in lines if band is None or band_of(number(line["diameter_mm"]) or 0) == band]
    return [line[column] == "1" for line in chosen if line.get(column)]


def _sentence(reference: Sequence[Line], predicted: Sequence[Line]) -> str:
    recall, precision = proportion(_flags(reference, "detected_0")), proportion(_flags(predicted, "detected_0"))
    parts = []
    if recall:
        parts.append(
            f"{recall.found} of {recall.of} tumours were found ({_percent(recall.value)}, 95 % interval "
            f"{_percent(recall.low)} to {_percent(recall.high)})."
        )
    else:
        parts.append("No test case has a tumour to find.")
    if precision:
        wrong = precision.of - precision.found
        parts.append(f"Of {precision.of} that were predicted, {wrong} touch{'es' if wrong == 1 else ''} none.")
    return " ".join(parts)


def _bands(reference: Sequence[Line]) -> list[int]:
    return sorted({band_of(number(line["diameter_mm"]) or 0) for line in reference})


def _table(reference: Sequence[Line], mode: str) -> Table:
    columns = [Column("Diameter", numeric=False), *map(Column, ("Tumours", *OVERLAPS.values()))]
    rows = [
        [Cell(band_name(band)), Cell(str(len(_flags(reference, "detected_0", band)))), *_recalls(reference, band)]
        for band in _bands(reference)
    ]
    rows.append([Cell("all"), Cell(str(len(reference))), *_recalls(reference, None)])
    return Table(f"Tumours found, by their diameter and overlap{mode}", columns, rows)


def _recalls(reference: Sequence[Line], band: int | None) -> list[Cell]:
    shares = [proportion(_flags(reference, column, band)) for column in OVERLAPS]
    return [
        Cell(f"{s.found} ({_percent(s.value)})", f"{_percent(s.low)} to {_percent(s.high)}") if s else Cell("-")
        for s in shares
    ]


def _chart(reference: Sequence[Line]) -> Chart:
    bands = _bands(reference)
    shares = [proportion(_flags(reference, "detected_0", band)) for band in bands]
    figure, axes = make_axes(0.75 + 0.36 * len(bands))
    told = []
    for y, (band, s) in enumerate(zip(bands, shares, strict=True)):
        if s is None:
            continue
        axes.barh(y, s.value, height=0.55, color=COLOURS["tumour"], alpha=0.3, lw=0)
        axes.hlines(y, s.low, s.high, color=COLOURS["tumour"], lw=2)
        axes.plot(s.value, y, "s", color=COLOURS["tumour"], ms=5)
        axes.text(1.02, y, f"{s.found} of {s.of}", va="center", size=SMALL, color=INK, clip_on=False)
        told.append(f"{band_name(band)}: {s.found} of {s.of}")
    axes.set_yticks(range(len(bands)), labels=[band_name(band) for band in bands], color=INK)
    axes.set(xlim=(0, 1), ylim=(len(bands) - 0.4, -0.6), xlabel="share found, with its 95 % interval")
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], labels=["0", "25 %", "50 %", "75 %", "100 %"])
    axes.grid(axis="x", color=RULE, lw=0.4)
    axes.set_axisbelow(True)
    axes.tick_params(axis="x", colors=FAINT)
    return svg_chart(figure, "lesions", alt="Share of tumours found by diameter. " + "; ".join(told))


def _percent(value: float) -> str:
    return f"{100 * value:.0f} %"
