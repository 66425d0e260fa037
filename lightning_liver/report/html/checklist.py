"""Checklist section: items that CLAIM asks for, filled from the run as far as its files know them."""

from collections.abc import Callable
from typing import NamedTuple

from lightning_liver.report import methods
from lightning_liver.report.html.blocks import Cell, Column, Section, Table, Text, note
from lightning_liver.report.html.results import interval
from lightning_liver.report.numbers import number_text, range_text
from lightning_liver.report.patients import is_phantom
from lightning_liver.run_folder import NAMES
from lightning_liver.runs.contents import Contents
from lightning_liver.types import STRUCTURES

_YOURS = "yours to write"


class _Item(NamedTuple):
    topic: str
    fill: Callable[[Contents], str] | None = None
    hint: str = ""


def checklist_section(contents: Contents) -> Section:
    """Make the section: a table of topics, each with what the run says or what the author has to add."""
    rows = [[Cell(item.topic), *_cells(item, contents)] for item in _ITEMS]
    columns = [Column(name, numeric=False) for name in ("Topic", "In this run", "Source")]
    filled = sum(row[2].text != _YOURS for row in rows)
    intro = f"{filled} of {len(rows)} topics are filled from the files of the run; the others only its authors know."
    source = (
        "Topics after CLAIM, the Checklist for Artificial Intelligence in Medical Imaging (Mongan et al. 2020, "
        "doi:10.1148/ryai.2020200029), shortened: it does not replace the checklist that a journal asks for."
    )
    return Section("checklist", "Checklist for a paper", [Text(intro), Table("Checklist", columns, rows), note(source)])


def _cells(item: _Item, contents: Contents) -> list[Cell]:
    text = item.fill(contents) if item.fill else ""
    return [Cell(text), Cell("the run")] if text else [Cell(item.hint or "-"), Cell(_YOURS)]


def _exclusions(contents: Contents) -> str:
    data = contents.data or ()
    if not data or "reason" not in data[0]:
        return ""
    out = {part: sum(line["part"] == part for line in data) for part in ("refused", "unlabelled", "unused")}
    return (
        f"{out['refused']} scans could not be read, {out['unlabelled']} had no labels, {out['unused']} were not in the "
        "split; see the flow of cases."
    )


def _results(contents: Contents) -> str:
    if not contents.cases:
        return ""
    means = {structure: interval(contents.cases, structure, "dice") for structure in STRUCTURES}
    return "; ".join(
        f"{structure} Dice {number_text(mean.mean)}"
        + (f" ({ends})" if (ends := range_text(mean.low, mean.high)) else "")
        for structure, mean in means.items()
    )


def _failures(contents: Contents) -> str:
    return (
        f"The worst case is shown, where most of it is wrong; {NAMES.lesions} lists each missed tumour."
        if contents.cases
        else ""
    )


def _generalisation(contents: Contents) -> str:
    return "Phantoms only: nothing is known about scans." if is_phantom(contents) else ""


def _limits(contents: Contents) -> str:
    return (
        "2-D slices of liver and liver tumours in CT with contrast medium; research software, not for clinical use."
        if contents.settings
        else ""
    )


def _environment(contents: Contents) -> str:
    return (
        "Versions and the command are in the section Reproduction."
        if contents.environment and contents.overrides is not None
        else ""
    )


_ITEMS = (
    _Item("Question and design", hint="hypothesis; retrospective or prospective"),
    _Item("Source of the data and split by patient", methods.data_sentence),
    _Item("Eligible and excluded cases", _exclusions, "criteria, and how many cases each excluded"),
    _Item("Preprocessing", methods.input_sentence),
    _Item("De-identification, ethics", hint="how identifiers were removed; approval or its waiver"),
    _Item("Reference standard", hint="who drew the truth, with which tool, agreement of the readers"),
    _Item("Sample size", hint="how it was chosen"),
    _Item("Model and its initial weights", methods.model_sentence),
    _Item("Training and choice of the final model", methods.training_sentence),
    _Item("Thresholds and post-processing", methods.decision_sentence),
    _Item("Metrics and statistics", methods.scoring_sentence),
    _Item("Results with their uncertainty", _results),
    _Item("Analysis of failures", _failures),
    _Item("External validation", _generalisation, "liver-evaluate run=RUN_FOLDER data=lits data.root=OTHER_SCANS"),
    _Item("Software, machine, reproduction", _environment),
    _Item("Limits and intended use", _limits),
    _Item("Registration, protocol, funding", hint="where they can be found"),
)
