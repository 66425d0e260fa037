"""Cases of a workspace in the viewer: scan, proposal, correction and what was changed, on the scan's own grid."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lightning_liver.active.workspace import Places, PoolCase, read_workspace
from lightning_liver.errors import LiverError
from lightning_liver.imageio.corrected_mask import read_corrected_mask
from lightning_liver.imageio.nifti import read_header, read_labels, read_map, read_volume
from lightning_liver.report.mistakes import mistakes
from lightning_liver.report.viewer.pages import ShownCases
from lightning_liver.report.viewer.server import Answer
from lightning_liver.report.viewer.volumes import Labels, mask, scan
from lightning_liver.volume import Volume


def workspace_cases(folder: Path, case: str | None) -> ShownCases:
    """Return the cases of a workspace whose scan was written for the expert.

    Args:
        case: the case shown first; None is the first that waits for a correction, else the first.

    Raises:
        LiverError: no workspace; no case was proposed yet; no such case among them.
    """
    state, places = read_workspace(folder), Places(folder)
    proposed = state.names("proposed", "corrected", "accepted")
    names = [name for name in proposed if places.scan(name).is_file()]
    if not proposed:
        raise LiverError(
            f"workspace={folder}: expected a proposed case, found none; run liver-active action=propose "
            f"workspace={folder}"
        )
    if not names:
        raise LiverError(f"workspace={folder}: expected the scans of its cases in {places.studies}; put them back")
    if case is not None and case not in names:
        raise LiverError(
            f"case={case}: expected a case of {folder} with a scan in studies; choose one of {', '.join(names)}"
        )
    waiting = [name for name in names if state.cases[name].state == "proposed"]
    return ShownCases(
        source={"workspace": folder.resolve().name},
        names=names,
        first=case or (waiting or names)[0],
        window_hu=None,
        entries=lambda: _entries(folder, names),
        scan=partial(_scan, places),
        layers={
            "proposal": partial(_proposal, places),
            "correction": partial(_correction, places),
            "change": partial(_change, places),
            "uncertainty": partial(_uncertainty, places),
        },
    )


class _Layers(NamedTuple):
    """Files of a case; None where there is none."""

    proposal: Path | None
    correction: Path | None
    uncertainty: Path | None


def _layers(places: Places, name: str) -> _Layers:
    """Find the files of a case; the correction is the accepted mask, else the newest file that may be one."""
    accepted = places.accepted(name)
    files = [accepted] if accepted.is_file() else places.corrections(name)
    newest = max(files, key=lambda file: file.stat().st_mtime, default=None)
    proposal, uncertainty = (
        path if path.is_file() else None for path in (places.proposal(name), places.uncertainty(name))
    )
    return _Layers(proposal, newest, uncertainty)


def _scan(places: Places, name: str) -> Answer:
    volume = read_volume(places.scan(name))
    z, y, x = volume.hu.shape
    return scan(volume.hu, (z, y, x), volume.spacing_mm)


def _proposal(places: Places, name: str) -> Answer:
    grid = _grid(places, name)
    return mask(_proposed(places, name, grid), grid.spacing_mm)


def _correction(places: Places, name: str) -> Answer:
    grid = _grid(places, name)
    return mask(_corrected(places, name, grid), grid.spacing_mm)


def _change(places: Places, name: str) -> Answer:
    """Return the voxels that were changed: those of the proposal alone are false positives."""
    grid = _grid(places, name)
    return mask(mistakes(_corrected(places, name, grid), _proposed(places, name, grid)), grid.spacing_mm)


def _uncertainty(places: Places, name: str) -> Answer:
    grid = _grid(places, name)
    bytes_, largest = read_map(_there(_layers(places, name).uncertainty, "map of uncertainty", name), grid)
    return mask(bytes_, grid.spacing_mm, largest=largest)


def _proposed(places: Places, name: str, grid: Volume) -> Labels:
    return read_labels(_there(_layers(places, name).proposal, "proposal", name), grid)


def _corrected(places: Places, name: str, grid: Volume) -> Labels:
    return read_corrected_mask(_there(_layers(places, name).correction, "correction", name), grid)


def _there(path: Path | None, what: str, name: str) -> Path:
    if path is None:
        raise LiverError(f"case {name} has no {what}; open the page again")
    return path


def _grid(places: Places, name: str) -> Volume:
    """Return the grid of a scan, as a volume of zeros that takes no memory."""
    header = read_header(places.scan(name))
    return Volume(np.broadcast_to(np.int16(0), header.shape), header.spacing_mm, header.affine)


def _entries(folder: Path, names: Sequence[str]) -> list[Mapping[str, object]]:
    cases, places = read_workspace(folder).cases, Places(folder)
    return [_entry(name, cases[name], places) for name in names]


def _entry(name: str, case: PoolCase, places: Places) -> Mapping[str, object]:
    layers, answer = _layers(places, name), case.answer
    return {
        "name": name,
        "patient": case.patient,
        "state": case.state,
        "round": case.round,
        "dice": {"liver": answer and answer.dice_liver, "tumour": answer and answer.dice_tumour},
        "notes": _notes(case, places, layers),
        "absent": _absent(name, case, places, layers),
    }


def _notes(case: PoolCase, places: Places, layers: _Layers) -> Mapping[str, str]:
    if layers.correction is None:
        return {}
    file = layers.correction.relative_to(places.folder)
    return {"correction": f"{file}, not accepted yet" if case.state == "proposed" else str(file)}


def _absent(name: str, case: PoolCase, places: Places, layers: _Layers) -> Mapping[str, str]:
    """Return the reason for each layer that is absent."""
    reasons = {}
    if layers.proposal is None:
        reasons["proposal"] = _no_proposal(case)
    if layers.correction is None and case.state == "proposed":
        final = places.final.relative_to(places.folder)
        reasons["correction"] = f"None yet: save the corrected mask as {final}/{name}.nii.gz."
    elif layers.correction is None:
        reasons["correction"] = f"{places.accepted(name).relative_to(places.folder)} is missing."
    if layers.proposal is None or layers.correction is None:
        reasons["change"] = "Needs a proposal and a correction."
    if layers.uncertainty is None:
        reasons["uncertainty"] = "No map was written."
    return reasons


def _no_proposal(case: PoolCase) -> str:
    if case.state != "proposed":
        return "None: the case was labelled without one."
    if case.proposed_at is None:
        return "Not written yet: run liver-active action=propose again."
    return "None: no network was trained yet."
