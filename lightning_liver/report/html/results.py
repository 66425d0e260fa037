"""What the test cases scored: means over patients with their intervals, and each case."""

from collections.abc import Sequence
from typing import NamedTuple

from lightning_liver.metrics.case.dice import DICE_PER_CASE
from lightning_liver.metrics.case_metric import CaseMetric, case_metrics
from lightning_liver.metrics.intervals import Mean, mean_over_patients
from lightning_liver.report.html.blocks import Block, Cell, Column, Folded, Section, Table, Text, missing, note
from lightning_liver.runs.contents import Contents, Line, mode_of, number
from lightning_liver.tables import MISSING
from lightning_liver.types import STRUCTURES


class _Column(NamedTuple):
    """A column of cases.csv as the table of cases shows it."""

    name: str
    heading: str
    unit: str
    decimals: int


_VOLUMES = (_Column("true_ml", "True volume", "mL", 1), _Column("predicted_ml", "Predicted volume", "mL", 1))


def of_structure(cases: Sequence[Line], structure: str) -> list[Line]:
    """The lines of a structure, cases in order of their names, shorter names first."""
    mine = [line for line in cases if line["structure"] == structure]
    return sorted(mine, key=lambda line: (len(line["case"]), line["case"]))


def interval(cases: Sequence[Line], structure: str, column: str) -> Mean:
    """The mean of a column over patients; empty cells are left out."""
    mine = of_structure(cases, structure)
    return mean_over_patients([number(line.get(column)) for line in mine], [line["patient"] for line in mine])


def results_section(contents: Contents) -> Section:
    """The table of means, and one of all cases for each structure."""
    cases = contents.cases
    if not cases:
        return Section("results", "Results", [missing("This run tested no cases: there is no score to show.")])
    patients, scans = (len({line[name] for line in cases}) for name in ("patient", "case"))
    blocks: list[Block] = [
        Text(f"{counted(scans, 'scan')} of {counted(patients, 'patient')} new to the network, on the scan's own grid."),
        _means(cases, mode_of(contents)),
        note(
            "Mean over patients, below it the 95 % interval (BCa bootstrap over patients, widened as Student's t). "
            "Truth and prediction both empty count as Dice 1, one of them empty as 0; distances are undefined then and "
            "left out."
        ),
        *(Folded(f"Every case: {s}", [_cases(cases, s, mode_of(contents))]) for s in STRUCTURES),
        *_further(contents),
    ]
    return Section("results", "Results", blocks)


def formatted(value: float | None, decimals: int) -> str:
    """A number as it is shown, "-" for none."""
    return MISSING if value is None else f"{value:.{decimals}f}"


def range_text(mean: Mean, decimals: int = 3) -> str:
    """The ends of an interval; nothing where there is none."""
    if mean.low is None or mean.high is None:
        return ""
    return f"{mean.low:.{decimals}f} to {mean.high:.{decimals}f}"


def counted(number: float, what: str) -> str:
    """So many of something, one without its s."""
    return f"{number:g} {what}{'s' * (number != 1)}"


def _means(cases: Sequence[Line], mode: str) -> Table:
    rows = [
        [Cell(_named(metric), f"{metric.better} is better"), *(_mean(cases, s, name, metric) for s in STRUCTURES)]
        for name, metric in case_metrics().items()
        if _has(cases, name)
    ]
    columns = [Column("Metric", numeric=False), *(Column(structure.capitalize()) for structure in STRUCTURES)]
    return Table(f"Test cases: mean over patients and 95 % interval{mode}", columns, rows)


def _mean(cases: Sequence[Line], structure: str, name: str, metric: CaseMetric) -> Cell:
    mean = interval(cases, structure, name)
    return Cell(formatted(mean.mean, metric.decimals), range_text(mean, metric.decimals))


def _cases(cases: Sequence[Line], structure: str, mode: str) -> Table:
    mine = of_structure(cases, structure)
    metrics = [_Column(name, each.heading, each.unit, each.decimals) for name, each in case_metrics().items()]
    known = [column for column in (*metrics, *_VOLUMES) if _has(mine, column.name)]
    columns = [
        Column("Case", numeric=False),
        Column("Patient", numeric=False),
        *(Column(column.heading, column.unit) for column in known),
    ]
    rows = [_case(line, known) for line in mine]
    return Table(f"{structure.capitalize()}, each case{mode}", columns, rows, sortable=True)


def _case(line: Line, known: Sequence[_Column]) -> list[Cell]:
    values = [number(line.get(column.name)) for column in known]
    return [
        Cell(line["case"], key=line["case"]),
        Cell(line["patient"], key=line["patient"]),
        *(Cell(formatted(v, column.decimals), key=v) for v, column in zip(values, known, strict=True)),
    ]


def _further(contents: Contents) -> list[Block]:
    """What was forgotten of a source, and all that metrics.json says."""
    blocks: list[Block] = []
    if forgotten := _forgotten(contents):
        blocks.append(forgotten)
    if contents.metrics:
        rows = [[Cell(name), Cell(_plain(value))] for name, value in sorted(contents.metrics.items())]
        columns = [Column("Name", numeric=False), Column("Value")]
        blocks.append(Folded("Every figure of metrics.json", [Table("metrics.json", columns, rows)]))
    return blocks


def _forgotten(contents: Contents) -> Table | None:
    rows = []
    for structure in STRUCTURES:
        before, after = (
            contents.metrics.get(f"source/{when}/{structure}/dice_per_case") for when in ("before", "after")
        )
        if before is not None and after is not None:
            change = f"{after - before:+.3f}"
            rows.append([Cell(structure.capitalize()), *(Cell(formatted(v, 3)) for v in (before, after)), Cell(change)])
    columns = [Column("Structure", numeric=False), *map(Column, ("Before", "After", "Change"))]
    caption = f"What fine-tuning forgot: {DICE_PER_CASE} of the source's test cases"
    return Table(caption, columns, rows) if rows else None


def _has(cases: Sequence[Line], name: str) -> bool:
    return any(line.get(name) for line in cases)


def _named(metric: CaseMetric) -> str:
    unit = f", {metric.unit}" if metric.unit else ""
    return f"{metric.label}{f' ({metric.short})' if metric.short else ''}{unit}"


def _plain(value: float | str | None) -> str:
    if value is None:
        return MISSING
    return value if isinstance(value, str) else f"{value:.6g}"
