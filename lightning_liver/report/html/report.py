"""report.html: a run folder as one self-contained page."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning_liver.errors import LiverError
from lightning_liver.files import write_whole
from lightning_liver.readers import parsing, read_text
from lightning_liver.report.html.advice import advice
from lightning_liver.report.html.calibration import calibration_section
from lightning_liver.report.html.cases import cases_section
from lightning_liver.report.html.checklist import checklist_section
from lightning_liver.report.html.curves import curves_section
from lightning_liver.report.html.data import data_section
from lightning_liver.report.html.decisions import decision_section
from lightning_liver.report.html.lesions import lesions_section
from lightning_liver.report.html.literature import caveat, headlines, literature_section, verdict
from lightning_liver.report.html.rendering import render
from lightning_liver.report.html.results import results_section
from lightning_liver.report.html.setup import configuration_section, reproduction_section
from lightning_liver.report.html.volumes import volumes_section
from lightning_liver.report.numbers import counted
from lightning_liver.run_folder import NAMES, RunFolder
from lightning_liver.runs.contents import Contents, read_contents
from lightning_liver.tables import duration

_CURE = "a file of it has other values than a run writes; run it again"
_SECTIONS = (
    results_section,
    cases_section,
    lesions_section,
    volumes_section,
    literature_section,
    calibration_section,
    decision_section,
    curves_section,
    data_section,
    configuration_section,
    reproduction_section,
    checklist_section,
)


def write_report(folder: Path, metrics: Mapping[str, Any] | None = None) -> Path:
    """Write report.html into a run folder from its files alone; equal files make equal reports.

    Args:
        metrics: in place of metrics.json, which a run writes last.

    Raises:
        LiverError: not a run folder, or one of its files is damaged.
    """
    contents = read_contents(folder, metrics)
    if not (contents.config or contents.cases or contents.chosen):
        raise LiverError(
            f"{folder}: not a run folder, it has neither {NAMES.config} nor {NAMES.cases} nor {NAMES.chosen}"
        )
    path = RunFolder(folder).report
    try:
        with parsing(folder, _CURE):
            text = page(contents)
        write_whole(path, text)
    except OSError as error:
        raise LiverError(f"{path}: cannot be written ({error.strerror or error}); check folder and space") from error
    return path


def page(contents: Contents) -> str:
    """Return the page as text."""
    return render(
        "page.html",
        name=run_name(contents.folder),
        date=_date(contents),
        advice=advice(contents),
        warnings=contents.warnings,
        title=verdict(contents),
        headlines=headlines(contents),
        caveat=caveat(contents),
        facts=facts(contents),
        sections=[make(contents) for make in _SECTIONS],
    )


def run_name(folder: Path) -> str:
    """Return the name of a run; where it is only a time of day, with the date above it."""
    return f"{folder.parent.name} {folder.name}" if re.fullmatch(r"\d\d-\d\d-\d\d", folder.name) else folder.name


def _date(contents: Contents) -> str:
    """Return the day on which the run ended, empty if unknown."""
    return str((contents.environment or {}).get("finished", ""))[:10]


def facts(contents: Contents) -> dict[str, str]:
    """Return the key facts of the run in a few words each; unknown ones are left out."""
    choices, settings = contents.choices, contents.settings
    epochs, seconds, tuned = contents.metrics.get("epochs"), contents.timing.fit_s, choices.get("finetune")
    known = {
        "Data": choices.get("data"),
        "Network": " ".join(filter(None, (choices.get("model"), _parameters(RunFolder(contents.folder).model)))),
        "Loss": choices.get("loss"),
        "Augmentation": choices.get("augment"),
        "Fine-tuning": tuned if tuned != "scratch" else None,
        "Seed, fold": f"{settings['seed']}, {settings.get('data.fold')}" if "seed" in settings else None,
        "Training": counted(epochs, "epoch") if epochs else None,
        "Duration": duration(seconds) if seconds else None,
        "Finished": str((contents.environment or {}).get("finished", ""))[:16].replace("T", " "),
    }
    return {name: str(value) for name, value in known.items() if value}


def _parameters(path: Path) -> str | None:
    """Return the number of parameters of the network from its layer table."""
    text = read_text(path) if path.exists() else ""
    match = re.search(r"^([\d.,]+)\s*([KMB]?)\s+Total params$", text, re.MULTILINE)
    return f"({match[1]} {match[2]}".rstrip() + " parameters)" if match else None
