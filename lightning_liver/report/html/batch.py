"""report.html of predicted scans: volumes, remarks, pictures and lesions of a batch as one self-contained page."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning_liver.errors import LiverError
from lightning_liver.files import write_whole
from lightning_liver.metrics.volumetry import Volumetry
from lightning_liver.report.embedding import embed
from lightning_liver.report.html.blocks import Block, Cell, Column, Folded, Picture, Section, Table, Text, note
from lightning_liver.report.html.rendering import render
from lightning_liver.report.numbers import counted, number_text
from lightning_liver.run_folder import NAMES
from lightning_liver.tables import MISSING

REPORT = NAMES.report.name

_SIDE = 1400  # pixels of the longer side of a preview
_CAVEAT = (
    "For research, not for clinical use: the masks were made by a network and seen by nobody. Radiological view: the "
    "patient's right on the left. Blue: liver, tumours included. Orange: tumour."
)
_SCANS: Sequence[tuple[str, Column, int]] = (  # column of summary.csv, its heading, decimals
    ("liver_ml", Column("Liver", "ml"), 0),
    ("tumour_ml", Column("Tumour", "ml"), 1),
    ("tumour_count", Column("Tumours"), 0),
    ("largest_diameter_mm", Column("Largest", "mm"), 0),
    ("burden_percent", Column("Burden", "%"), 1),
)
_PLACES: Sequence[tuple[str, Column, int]] = (
    ("slice_index", Column("Slice"), 0),
    ("x_ras_mm", Column("To the right", "mm"), 1),
    ("y_ras_mm", Column("To the front", "mm"), 1),
    ("z_ras_mm", Column("To the head", "mm"), 1),
    ("volume_ml", Column("Volume", "ml"), 2),
    ("diameter_mm", Column("Diameter", "mm"), 1),
)

Lines = Sequence[Mapping[str, Any]]


def preview_of(output: Path, case: str) -> Path:
    """Return the place of a scan's preview."""
    return output / f"{case}-preview.png"


def preview_title(case: str, found: Volumetry) -> str:
    """Return a line about a predicted scan."""
    tumours = f"{counted(found.tumour_count, 'tumour')}, {found.tumour_ml:.1f} ml"
    largest = f", the largest {found.largest_diameter_mm:.0f} mm" if found.largest_diameter_mm is not None else ""
    return f"{case}: liver {found.liver_ml:.0f} ml; {tumours}{largest}"


def write_batch_report(output: Path, scans: Mapping[str, Mapping[str, Any]], lesions: Mapping[str, Lines]) -> Path:
    """Write report.html into an output folder; previews that lie there are part of it.

    Args:
        scans, lesions: rows of summary.csv and of lesions.csv by case.

    Raises:
        LiverError: it cannot be written.
    """
    rows = list(scans.values())
    failed = [row for row in rows if row["status"] != "predicted"]
    sections = [_scans_section(rows), _pictures_section(output, rows), _lesions_section(rows, lesions)]
    title = f"{counted(len(rows) - len(failed), 'scan')} predicted"
    path = output / REPORT
    try:
        page = render(
            "batch.html",
            name=output.resolve().name,
            title=f"{title}, {len(failed)} failed" if failed else title,
            caveat=_CAVEAT,
            facts=_facts(rows),
            sections=[section for section in sections if section.blocks],
        )
        write_whole(path, page)
    except OSError as error:
        raise LiverError(f"{path}: cannot be written ({error.strerror or error}); check folder and space") from error
    return path


def _facts(rows: Lines) -> dict[str, str]:
    remarked = sum(bool(row.get("remarks")) for row in rows)
    patients = {row["patient_id"] for row in rows if row.get("patient_id")}
    models = dict.fromkeys(str(row["model"]) for row in rows if row.get("model"))
    known = {"Model": ", ".join(models), "Patients": str(len(patients)) if patients else "", "Remarks": str(remarked)}
    return {name: value for name, value in known.items() if value}


def _scans_section(rows: Lines) -> Section:
    columns = [
        Column("Scan", numeric=False),
        *(column for _, column, _ in _SCANS),
        Column("Patient", numeric=False),
        Column("Date", numeric=False),
        Column("Remarks", numeric=False),
    ]
    cells = [
        [
            Cell(str(row["case"]), str(row.get("series") or ""), str(row["case"])),
            *(_number(row.get(name), decimals) for name, _, decimals in _SCANS),
            *(Cell(str(row.get(name) or MISSING), key=str(row.get(name) or "")) for name in ("patient_id", "date")),
            _status(row),
        ]
        for row in rows
    ]
    blocks: list[Block] = [Table("Volumes of each scan", columns, cells, sortable=True)]
    blocks.append(note("Also in summary.csv, with paths. Burden: tumour volume in percent of the liver's."))
    if remarked := [row for row in rows if row.get("remarks")]:
        about = [Column("Scan", numeric=False), Column("Remark", numeric=False)]
        told = [[Cell(str(row["case"])), Cell(str(row["remarks"]))] for row in remarked]
        blocks.append(Table("What is hardly possible, or failed", about, told))
    return Section("scans", "Scans", blocks)


def _status(row: Mapping[str, Any]) -> Cell:
    if row["status"] != "predicted":
        return Cell("failed", key="0")
    return Cell("see below", key="1") if row.get("remarks") else Cell(MISSING, key="2")


def _pictures_section(output: Path, rows: Lines) -> Section:
    blocks: list[Block] = []
    for row in rows:
        path = preview_of(output, str(row["case"]))
        if row["status"] == "predicted" and path.is_file():
            made = embed(path, side=_SIDE)
            blocks.append(Picture(made.uri, made.description or str(row["case"]), "", made.width, made.height))
    return Section("pictures", "Pictures", blocks)


def _lesions_section(rows: Lines, lesions: Mapping[str, Lines]) -> Section:
    columns = [Column("Scan", numeric=False), Column("Tumour"), *(column for _, column, _ in _PLACES)]
    cells = [
        [
            Cell(str(row["case"]), key=str(row["case"])),
            _number(lesion.get("lesion"), 0),
            *(_number(value, decimals) for value, (_, _, decimals) in zip(_shown(lesion), _PLACES, strict=True)),
        ]
        for row in rows
        for lesion in lesions.get(str(row["case"]), ())
    ]
    if not cells:
        return Section("tumours", "Tumours", [Text("No tumour was found.")] if rows else [])
    table = Table("Places and sizes of tumours", columns, cells, sortable=True)
    more = note(
        "The slice with the largest area, counted from 1 as in pictures and viewers; the centroid in the file's world "
        "frame (RAS+, as NIfTI has it; in DICOM's coordinates the first two have the other sign); the longest axial "
        f"diameter. Also in {NAMES.lesions}, where slices count from 0, as programs do."
    )
    return Section("tumours", "Tumours", [Folded(counted(len(cells), "tumour"), [table]), more])


def _shown(lesion: Mapping[str, Any]) -> list[Any]:
    """Return the values of _PLACES, the slice counted from 1."""
    values = [lesion.get(name) for name, *_ in _PLACES]
    return [int(values[0]) + 1 if values[0] not in (None, "") else None, *values[1:]]


def _number(value: Any, decimals: int) -> Cell:
    """Return a cell of a number, which is a text in rows that were read from a file."""
    known = None if value in (None, "") else float(value)
    return Cell(number_text(known, decimals), key=known)
