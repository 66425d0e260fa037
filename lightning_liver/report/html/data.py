"""Data section: cases and their split by patient."""

from collections.abc import Sequence
from statistics import median

from lightning_liver.data.splits import PARTS
from lightning_liver.report.html.blocks import Block, Cell, Column, Folded, Section, Table, Text, missing
from lightning_liver.report.html.flow import flow
from lightning_liver.report.patients import is_phantom, separation
from lightning_liver.run_folder import NAMES
from lightning_liver.runs.contents import Contents, Line

_NAMES = {"train": "Training", "val": "Validation", "test": "Test"}
_AXES = (("slice_mm", "mm between slices"), ("pixel_mm", "mm a pixel"))


def data_section(contents: Contents) -> Section:
    """Make the section: cases, patients, slices and spacing of each part, and all cases."""
    blocks: list[Block] = [Text(_sentence(contents))]
    if contents.data:
        split = [line for line in contents.data if line["part"] in PARTS]
        blocks += [*flow(contents.data), _parts(split), Folded("Every case of the split", [_cases(split)])]
    elif contents.split:
        blocks.append(missing(f"This run has no {NAMES.data}: only the names of the cases are known."))
        blocks += [_listed(part, contents.split[part]) for part in PARTS]
    else:
        blocks.append(missing(f"This run has no {NAMES.split}: its training and test cases are not known."))
    return Section("data", "Data and splits", blocks)


def _sentence(contents: Contents) -> str:
    source = str(contents.choices.get("data") or "data of an unknown source")
    grid = contents.settings.get("data.spacing_mm")
    sampled = "on each scan's own grid" if grid is None else f"resampled to {grid} mm a pixel"
    window = contents.settings.get("data.window_hu")
    parts = [f"{source}{', simulated patients' if is_phantom(contents) else ''}; {separation(contents)}."]
    if contents.settings:
        clipped = f", HU from {window[0]} to {window[1]}" if isinstance(window, list) else ""
        parts.append(f"The network sees slices {sampled}{clipped}.")
    return " ".join(parts)


def _parts(data: Sequence[Line]) -> Table:
    columns = [
        Column("Part", numeric=False),
        *map(Column, ("Patients", "Cases", "Slices", "With tumour")),
        *(Column(name) for _, name in _AXES),
    ]
    rows = []
    for part in PARTS:
        mine = [line for line in data if line["part"] == part]
        tumours = sum(float(line["tumour_slices"] or 0) > 0 for line in mine)
        rows.append(
            [
                Cell(_NAMES[part]),
                Cell(str(len({line["patient"] for line in mine}))),
                Cell(str(len(mine))),
                Cell(f"{sum(int(line['slices']) for line in mine)}"),
                Cell(str(tumours)),
                *(_spread([float(line[axis]) for line in mine]) for axis, _ in _AXES),
            ]
        )
    return Table("Cases of each part; spacings are median and range", columns, rows)


def _spread(values: Sequence[float]) -> Cell:
    if not values:
        return Cell("-")
    low, high = min(values), max(values)
    return Cell(f"{median(values):.3g}", "" if low == high else f"{low:.3g} to {high:.3g}")


def _cases(data: Sequence[Line]) -> Table:
    columns = [
        *(Column(name, numeric=False) for name in ("Case", "Patient", "Part")),
        *map(Column, ("Slices", "With tumour", "Rows", "Columns")),
        *(Column(name) for _, name in _AXES),
    ]
    numbers = ("slices", "tumour_slices", "rows", "columns", "slice_mm", "pixel_mm")
    rows = [
        [Cell(line[name], key=line[name]) for name in ("case", "patient", "part")]
        + [Cell(f"{float(line[name]):.4g}", key=float(line[name])) for name in numbers]
        for line in data
    ]
    return Table("Every case of the split", columns, rows, sortable=True)


def _listed(part: str, names: Sequence[str]) -> Folded:
    return Folded(f"{_NAMES[part]}: {len(names)} cases", [Text(", ".join(names) or "none")])
