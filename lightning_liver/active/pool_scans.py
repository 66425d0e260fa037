"""Scans of a pool on disk: their patients, and masks that are there already."""

import logging
from collections.abc import Sequence
from pathlib import Path

from lightning_liver.active.workspace import FILE, PoolCase
from lightning_liver.active.workspace_text import listed
from lightning_liver.data.sources import known_repeats, read_patients
from lightning_liver.errors import LiverError
from lightning_liver.files import required_path, visible_files
from lightning_liver.imageio.scans import NIFTI, Scan, find_scans

log = logging.getLogger(__name__)


def cases_of_pool(scans: Sequence[Scan], pool: Path, patients: object) -> dict[str, PoolCase]:
    """Return the cases of a pool.

    A patient is the one of the CSV, else of the DICOM header, else of the known repeats of LiTS, else the scan's own.
    """
    names = [scan.name for scan in scans]
    given = {} if patients is None else given_patients(names, patients)
    repeats = known_repeats(names)
    cases = {}
    for scan in scans:
        patient = given.get(scan.name) or scan.facts().patient_id or repeats.get(scan.name) or scan.name
        cases[scan.name] = PoolCase(patient, str(scan.path.relative_to(pool)))
    return cases


def given_patients(names: Sequence[str], patients: object) -> dict[str, str]:
    """Return the patients of those cases that a CSV lists, by their names or, for volume-N, N.

    Raises:
        LiverError: it lists none of them; see read_patients.
    """
    patient_of = read_patients(required_path("patients", patients, "a CSV of case,patient"))
    given = {name: patient_of.get(name) or patient_of.get(name.removeprefix("volume-")) for name in names}
    known = {name: patient for name, patient in given.items() if patient is not None}
    if not known:
        raise LiverError(f"patients={patients}: expected cases among {listed(names)}; write their names")
    if unlisted := [name for name in names if name not in known]:
        log.warning(f"{patients}: unlisted cases count as separate patients: {listed(unlisted)}")
    return known


def scans_of_pool(pool: Path, workspace: Path) -> list[Scan]:
    """Return the scans of a pool, without the copies in workspaces that lie in it.

    Raises:
        LiverError: see find_scans.
    """
    others = [path.parent for path in visible_files(pool) if path.name == FILE]
    return find_scans(pool, output=[workspace, *others])


def mask_beside(scan: Scan, pool: Path) -> Path | None:
    """Return the mask of a scan in its folder, as liver-predict and LiTS name it, or elsewhere in the pool.

    In its folder it may also have the file's own name: p1/segmentation-3 is the mask of p1/volume-3, named p1-volume-3.
    """
    own = scan._replace(name=scan.path.name if scan.is_dicom else NIFTI.sub("", scan.path.name))
    names = [scan.mask, scan.mask.removesuffix(".gz")]
    beside = [scan.path.parent / name for name in (*names, own.mask, own.mask.removesuffix(".gz"))]
    below = [path for name in names for path in sorted(pool.rglob(name))]
    return next((path for path in (*beside, *below) if path.is_file()), None)
