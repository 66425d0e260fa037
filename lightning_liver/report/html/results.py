"""Results section: means over patients with intervals, and the scores of each test case."""

from collections.abc import Sequence
from typing import NamedTuple

from lightning_liver.metrics.case.dice import DICE_PER_CASE
from lightning_liver.metrics.case_metric import CaseMetric, case_metrics
from lightning_liver.metrics.intervals import Mean, mean_over_patients
from lightning_liver.report.html.blocks import Block, Cell, Column, Folded, Section, Table, Text, missing, note
from lightning_liver.report.numbers import counted, number_text, range_text
from lightning_liver.report.patients import patients_are_known
from lightning_liver.run_folder import NAMES
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
    """Return the lines of a structure, by case; shorter names come first."""
    own = [line for line in cases if line["structure"] == structure]
    return sorted(own, key=lambda line: (len(line["case"]), line["case"]))


def interval(cases: Sequence[Line], structure: str, column: str) -> Mean:
    """Return the mean of a column over patients with its interval; empty cells are left out."""
    mine = of_structure(cases, structure)
    values, patients = [number(line.get(column)) for line in mine], [line["patient"] for line in mine]
    return mean_over_patients(values, patients, case_metrics()[column].bounds)


def results_section(contents: Contents) -> Section:
    """Make the section: the table of means, and a table of all cases for each structure."""
    cases = contents.cases
    if not cases:
        return Section("results", "Results", [missing("This run has no test cases and so no scores.")])
    blocks: list[Block] = [
        Text(_scored(contents)),
        _means(cases, mode_of(contents)),
        note(
            "Mean over patients, below it the 95 % interval (Student's t, with Hall's correction for skewness). "
            "Dice is 1 if truth and prediction are both empty, 0 if one is; distances are then undefined and left out."
        ),
        *(Folded(f"Every case: {s}", [_cases(cases, s, mode_of(contents))]) for s in STRUCTURES),
        *_further(contents),
    ]
    return Section("results", "Results", blocks)


def _scored(contents: Contents) -> str:
    """Say which scans were scored; that their patients are new to the network only where it is known."""
    patients, scans = (len({line[name] for line in contents.cases}) for name in ("patient", "case"))
    if patients_are_known(contents):
        whose = f"{counted(scans, 'scan')} of {counted(patients, 'patient')} that the network was not trained on"
    else:
        whose = (
            f"{counted(scans, 'scan')} that the network was not trained on, counted as {counted(patients, 'patient')}"
        )
    return f"{whose}, scored on the scan's own grid."


def mean_cell(mean: Mean, decimals: int = 3) -> Cell:
    """Return a cell with a mean and, below it, its interval."""
    return Cell(number_text(mean.mean, decimals), range_text(mean.low, mean.high, decimals))


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
    return mean_cell(mean, metric.decimals)


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
        *(Cell(number_text(v, column.decimals), key=v) for v, column in zip(values, known, strict=True)),
    ]


def _further(contents: Contents) -> list[Block]:
    """Return the table of forgetting of the source, if there is one, and all of metrics.json."""
    blocks: list[Block] = []
    if forgetting := _forgetting(contents):
        blocks.append(forgetting)
    if contents.metrics:
        rows = [[Cell(name), Cell(_plain(value))] for name, value in sorted(contents.metrics.items())]
        columns = [Column("Name", numeric=False), Column("Value")]
        blocks.append(Folded(f"All of {NAMES.metrics}", [Table(str(NAMES.metrics), columns, rows)]))
    return blocks


def _forgetting(contents: Contents) -> Table | None:
    rows = []
    for structure in STRUCTURES:
        before, after = (
            contents.metrics.get(f"source/{when}/{structure}/dice_per_case") for when in ("before", "after")
        )
        if before is not None and after is not None:
            change = f"{after - before:+.3f}"
            rows.append([Cell(structure.capitalize()), *(Cell(number_text(v)) for v in (before, after)), Cell(change)])
    columns = [Column("Structure", numeric=False), *map(Column, ("Before", "After", "Change"))]
    return (
        Table(f"Forgetting by fine-tuning: {DICE_PER_CASE} of the source's test cases", columns, rows) if rows else None
    )


def _has(cases: Sequence[Line], name: str) -> bool:
    return any(line.get(name) for line in cases)


def _named(metric: CaseMetric) -> str:
    unit = f", {metric.unit}" if metric.unit else ""
    return f"{metric.label}{f' ({metric.short})' if metric.short else ''}{unit}"


def _plain(value: float | str | None) -> str:
    if value is None:
        return MISSING
    return value if isinstance(value, str) else f"{value:.6g}"
