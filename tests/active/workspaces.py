"""A workspace of small phantoms, in every state of a case."""

from pathlib import Path

import numpy as np

from lightning_liver.active.loop_state import Correction
from lightning_liver.active.workspace import Places, PoolCase, WorkspaceState, write_workspace
from lightning_liver.imageio.nifti import read_labels, read_volume, write_labels, write_map
from lightning_liver.volume import Volume
from tests.conftest import write_scan

DONE, WAITING, DRAWN, LEFT = "volume-20", "volume-21", "volume-22", "volume-23"


def write_phantoms(folder: Path) -> Places:
    """Write a workspace: DONE is accepted, WAITING has a proposal, DRAWN a correction alone, LEFT is unlabelled."""
    places = Places(folder / "workspace")
    places.make_folders()
    pool = folder / "pool"
    for name in (DONE, WAITING, DRAWN, LEFT):
        write_scan(pool, int(name.removeprefix("volume-")))
    for name in (DONE, WAITING, DRAWN):
        (pool / f"{name}.nii.gz").rename(places.scan(name))
    for name in (DONE, WAITING):
        volume, labels = phantom(places, pool, name)
        write_labels(places.proposal(name), proposed(labels), volume.affine)
        places.shown.joinpath(f"{name}.nii.gz").write_bytes(places.proposal(name).read_bytes())
    volume, labels = phantom(places, pool, DONE)
    write_labels(places.accepted(DONE), labels, volume.affine)
    write_map(places.uncertainty(DONE), 100 * (labels > 0).astype(np.uint8), volume.affine, largest=0.5)
    volume, labels = phantom(places, pool, DRAWN)
    write_labels(places.final / f"{DRAWN}.nii.gz", labels, volume.affine)
    answer = Correction("a", DONE, None, None, 12, 8, 100, 50.0, 0.9, None)
    cases = {
        DONE: PoolCase("a", f"{DONE}.nii.gz", "accepted", 1, proposed_at="2026-01-31T12:00:00Z", answer=answer),
        WAITING: PoolCase("b", f"{WAITING}.nii.gz", "proposed", 2, proposed_at="2026-01-31T12:00:00Z"),
        DRAWN: PoolCase("c", f"{DRAWN}.nii.gz", "proposed", 2, proposed_at="2026-01-31T12:00:00Z"),
        LEFT: PoolCase("d", f"{LEFT}.nii.gz"),
    }
    write_workspace(places.folder, WorkspaceState(str(pool), None, (), cases, rounds=1))
    return places


def phantom(places: Places, pool: Path, name: str) -> tuple[Volume, np.ndarray]:
    """Return a scan of the workspace and its true labels (z, y, x)."""
    volume = read_volume(places.scan(name))
    return volume, read_labels(pool / f"{name.replace('volume', 'segmentation')}.nii.gz", volume)


def proposed(labels: np.ndarray) -> np.ndarray:
    """Return the mask that a network may propose: the labels moved to the left."""
    return np.roll(labels, 2, axis=2)
