"""What the test cases scored: means over patients with their intervals, and each case."""

from collections.abc import Sequence
from typing import NamedTuple

from lightning_liver.metrics.intervals import Mean, mean_over_patients
from lightning_liver.report.html.blocks import Block, Cell, Column, Folded, Section, Table, Text, missing, note
from lightning_liver.runs.contents import Contents, Line, mode_of, number
from lightning_liver.tables import MISSING
from lightning_liver.types import STRUCTURES


class Metric(NamedTuple):
    """A column of cases.csv as it is shown."""

    column: str
    name: str
    unit: str = ""
    decimals: int = 3
    better: str = "higher"


METRICS = (
    Metric("dice", "Dice"),
    Metric("jaccard", "Jaccard"),
    Metric("voe", "Volumetric overlap error", better="lower"),
    Metric("rvd", "Relative volume difference", better="nearer to 0"),
    Metric("assd_mm", "Mean surface distance", "mm", 2, "lower"),
    Metric("rmsd_mm", "RMS surface distance", "mm", 2, "lower"),
    Metric("mssd_mm", "Largest surface distance", "mm", 2, "lower"),
    Metric("hd95_mm", "Hausdorff distance, 95 %", "mm", 2, "lower"),
    Metric("surface_dice", "Surface Dice"),
)
_VOLUMES = (Metric("true_ml", "True volume", "mL", 1), Metric("predicted_ml", "Predicted volume", "mL", 1))
_ABBREVIATED = {"voe": "VOE", "rvd": "RVD", "assd_mm": "ASSD", "rmsd_mm": "RMSD", "mssd_mm": "MSSD", "hd95_mm": "HD95"}


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
    known = [metric for metric in METRICS if _has(cases, metric)]
    rows = [
        [Cell(_named(metric), f"{metric.better} is better"), *(_mean(cases, s, metric) for s in STRUCTURES)]
        for metric in known
    ]
    columns = [Column("Metric", numeric=False), *(Column(structure.capitalize()) for structure in STRUCTURES)]
    return Table(f"Test cases: mean over patients and 95 % interval{mode}", columns, rows)


def _mean(cases: Sequence[Line], structure: str, metric: Metric) -> Cell:
    mean = interval(cases, structure, metric.column)
    return Cell(formatted(mean.mean, metric.decimals), range_text(mean, metric.decimals))


def _cases(cases: Sequence[Line], structure: str, mode: str) -> Table:
    mine = of_structure(cases, structure)
    known = [metric for metric in (*METRICS, *_VOLUMES) if _has(mine, metric)]
    columns = [
        Column("Case", numeric=False),
        Column("Patient", numeric=False),
        *(Column(_ABBREVIATED.get(metric.column, metric.name), metric.unit) for metric in known),
    ]
    rows = [_case(line, known) for line in mine]
    return Table(f"{structure.capitalize()}, each case{mode}", columns, rows, sortable=True)


def _case(line: Line, known: Sequence[Metric]) -> list[Cell]:
    values = [number(line.get(metric.column)) for metric in known]
    return [
        Cell(line["case"], key=line["case"]),
        Cell(line["patient"], key=line["patient"]),
        *(Cell(formatted(v, metric.decimals), key=v) for v, metric in zip(values, known, strict=True)),
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
    return Table("What fine-tuning forgot: Dice per case of the source's test cases", columns, rows) if rows else None


def _has(cases: Sequence[Line], metric: Metric) -> bool:
    return any(line.get(metric.column) for line in cases)


def _named(metric: Metric) -> str:
    short, unit = _ABBREVIATED.get(metric.column), f", {metric.unit}" if metric.unit else ""
    return f"{metric.name}{f' ({short})' if short else ''}{unit}"


def _plain(value: float | str | None) -> str:
    if value is None:
        return MISSING
    return value if isinstance(value, str) else f"{value:.6g}"
