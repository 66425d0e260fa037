"""Scans of a pool on disk: their patients, and masks that are there already."""

from collections.abc import Sequence
from pathlib import Path

from lightning_liver.active.workspace import PoolCase
from lightning_liver.active.workspace_text import listed
from lightning_liver.data.sources import known_repeats, read_patients
from lightning_liver.errors import LiverError
from lightning_liver.files import required_path
from lightning_liver.imageio.scans import Scan


def cases_of_pool(scans: Sequence[Scan], pool: Path, patients: object) -> dict[str, PoolCase]:
    """Return the cases of a pool.

    A patient is the one of the CSV, else of the DICOM header, else of the known repeats of LiTS, else the scan's own.
    """
    patient_of = {} if patients is None else read_patients(required_path("patients", patients, "a CSV of case,patient"))
    repeats = known_repeats([scan.name for scan in scans])
    cases = {}
    for scan in scans:
        number = scan.name.removeprefix("volume-")
        patient = (
            patient_of.get(scan.name) or patient_of.get(number) or scan.facts().patient_id or repeats.get(scan.name)
        )
        cases[scan.name] = PoolCase(patient or scan.name, str(scan.path.relative_to(pool)))
    if patients is not None and not any(case.patient in patient_of.values() for case in cases.values()):
        raise LiverError(f"patients={patients}: expected cases among {listed(list(cases))}; write their names")
    return cases


def mask_beside(scan: Scan, pool: Path) -> Path | None:
    """Return the mask of a scan in its folder, as liver-predict and LiTS name it, or elsewhere in the pool."""
    names = [scan.mask, scan.mask.removesuffix(".gz")]
    beside = [scan.path.parent / name for name in names]
    below = [path for name in names for path in sorted(pool.rglob(name))]
    return next((path for path in (*beside, *below) if path.is_file()), None)
