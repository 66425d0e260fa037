"""Lesion section: recall of tumours by diameter, and false positives."""

from collections.abc import Sequence
from typing import NamedTuple

from scipy.stats import binomtest

from lightning_liver.metrics.aggregate import BANDS_MM
from lightning_liver.report.html.blocks import Block, Cell, Chart, Column, Row, Section, Table, Text, missing, note
from lightning_liver.report.html.theme import COLOURS, FAINT, INK, RULE, SMALL, make_axes, svg_chart
from lightning_liver.report.numbers import counted
from lightning_liver.run_folder import NAMES
from lightning_liver.runs.contents import Contents, Line, mode_of, number
from lightning_liver.tables import MISSING

OVERLAPS = {"detected_0": "Overlap > 0", "detected_50": "Overlap > 0.5"}


class Proportion(NamedTuple):
    """A proportion, hits / total; `low` and `high` are the ends of its 95 % interval."""

    hits: int
    total: int
    low: float
    high: float

    @property
    def value(self) -> float:
        return self.hits / self.total


def proportion(flags: Sequence[bool]) -> Proportion | None:
    """Return the proportion of True with Wilson's interval; None without flags.

    Source: Wilson 1927, doi:10.1080/01621459.1927.10502953.
    """
    if not flags:
        return None
    low, high = binomtest(sum(flags), len(flags)).proportion_ci(method="wilson")
    return Proportion(sum(flags), len(flags), float(low), float(high))


def lesions_section(contents: Contents) -> Section:
    """Make the section: recall in a sentence, as a chart and as a table by bands of diameter."""
    title = "Tumour detection by size"
    if contents.lesions is None:
        return Section("lesions", title, [missing(f"This run has no {NAMES.lesions}: lesions were not counted.")])
    reference = [line for line in contents.lesions if line["kind"] == "reference"]
    predicted = [line for line in contents.lesions if line["kind"] == "predicted"]
    blocks: list[Block] = [Text(_sentence(reference, predicted))]
    if reference:
        blocks.append(Row([_chart(reference), _table(reference, mode_of(contents))]))
        blocks.append(
            note(
                "A tumour is detected if the predicted tumour matched with it overlaps it (intersection over union). "
                "95 % intervals are Wilson's and take lesions as independent; lesions of one patient are similar, so "
                "the true intervals are somewhat wider."
            )
        )
    return Section("lesions", title, blocks)


def band_of(diameter_mm: float) -> int:
    """Return the index of the band; a diameter at an edge belongs to the larger band."""
    return max(n for n, (low, _) in enumerate(BANDS_MM.values()) if diameter_mm >= low)


def band_name(band: int) -> str:
    """Return a band's name with its unit."""
    low, high = list(BANDS_MM.values())[band]
    if low == 0:
        return f"under {high:g} mm"
    return f"{low:g} to {high:g} mm" if high < float("inf") else f"{low:g} mm or more"


def _flags(lines: Sequence[Line], column: str, band: int | None = None) -> list[bool]:
    selected = [line for line in lines if band is None or band_of(number(line["diameter_mm"]) or 0) == band]
    return [line[column] == "1" for line in selected if line.get(column)]


def _sentence(reference: Sequence[Line], predicted: Sequence[Line]) -> str:
    recall, precision = proportion(_flags(reference, "detected_0")), proportion(_flags(predicted, "detected_0"))
    parts = []
    if recall:
        parts.append(
            f"{recall.hits} of {recall.total} tumours were detected (recall {_percent(recall.value)}, 95 % interval "
            f"{_percent(recall.low)} to {_percent(recall.high)})."
        )
    else:
        parts.append("No test case has a tumour.")
    if precision:
        wrong = precision.total - precision.hits
        parts.append(
            f"Of {counted(precision.total, 'predicted tumour')}, {wrong} overlap no true one (false positives)."
        )
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
    return Table(f"Tumours detected, by diameter and overlap{mode}", columns, rows)


def _recalls(reference: Sequence[Line], band: int | None) -> list[Cell]:
    recalls = [proportion(_flags(reference, column, band)) for column in OVERLAPS]
    return [
        Cell(f"{r.hits} ({_percent(r.value)})", f"{_percent(r.low)} to {_percent(r.high)}") if r else Cell(MISSING)
        for r in recalls
    ]


def _chart(reference: Sequence[Line]) -> Chart:
    bands = _bands(reference)
    recalls = [proportion(_flags(reference, "detected_0", band)) for band in bands]
    figure, axes = make_axes(0.75 + 0.36 * len(bands))
    counts = []
    for y, (band, recall) in enumerate(zip(bands, recalls, strict=True)):
        if recall is None:
            continue
        count = f"{recall.hits} of {recall.total}"
        axes.barh(y, recall.value, height=0.55, color=COLOURS["tumour"], alpha=0.3, lw=0)
        axes.hlines(y, recall.low, recall.high, color=COLOURS["tumour"], lw=2)
        axes.plot(recall.value, y, "s", color=COLOURS["tumour"], ms=5)
        axes.text(1.02, y, count, va="center", size=SMALL, color=INK, clip_on=False)
        counts.append(f"{band_name(band)}: {count}")
    axes.set_yticks(range(len(bands)), labels=[band_name(band) for band in bands], color=INK)
    axes.set(xlim=(0, 1), ylim=(len(bands) - 0.4, -0.6), xlabel="recall with its 95 % interval")
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], labels=["0", "25 %", "50 %", "75 %", "100 %"])
    axes.grid(axis="x", color=RULE, lw=0.4)
    axes.set_axisbelow(True)
    axes.tick_params(axis="x", colors=FAINT)
    return svg_chart(figure, "lesions", alt="Recall of tumours by diameter. " + "; ".join(counts))


def _percent(value: float) -> str:
    return f"{100 * value:.0f} %"
