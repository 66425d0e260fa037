"""Scans of full size, made: a phantom at 512x512 whose slices come again with noise of their own."""

from pathlib import Path

import nibabel as nib
import numpy as np
from isal import igzip
from jaxtyping import Int16, UInt8

from lightning_liver.data.phantom.data_set import render
from lightning_liver.volume import from_canonical

MATRIX = 512
NOISE_HU = 6.0  # beside the phantom's own, so that no slice equals another
TUMOUR_FRACTION = 0.012


def made(
    case: int, *, slices: int, matrix: int = MATRIX, liver: float | None = None
) -> tuple[Int16[np.ndarray, "z y x"], UInt8[np.ndarray, "z y x"], np.ndarray]:
    """HU, labels and the affine of a file, canonical, as long a body in as many slices as asked for.

    Args:
        liver: share of the slices that show some: above and below it the body is longer then; None is as phantoms are.
    """
    volume, labels = render(case, seed=0, matrix=matrix, tumour_fraction=TUMOUR_FRACTION)
    places, length = np.arange(slices) * len(labels) // slices, len(labels) / slices
    if liver is not None:
        places, length = _stretched(labels, slices, liver)
    rng = np.random.default_rng(case)
    hu = np.empty((slices, matrix, matrix), np.int16)
    for z, place in enumerate(places):
        noise = rng.standard_normal((matrix, matrix), np.float32) * NOISE_HU
        hu[z] = np.clip(np.rint(volume.hu[place] + noise), -1024, 3071)
    affine = volume.affine.copy()
    affine[:3, 2] *= length
    return hu, labels[places], affine


def _stretched(labels: UInt8[np.ndarray, "z y x"], slices: int, liver: float) -> tuple[np.ndarray, float]:
    """Slices of a phantom, as many as asked for, a share of them with liver; and their distance over its own."""
    shown = np.flatnonzero(labels.any(axis=(1, 2)))
    parts = range(shown[0]), range(shown[0], shown[-1] + 1), range(shown[-1] + 1, len(labels))
    within = round(slices * liver)
    above = (slices - within) // 2
    counts = above, within, slices - within - above
    places = [part.start + np.arange(n) * len(part) // n for part, n in zip(parts, counts, strict=True)]
    return np.concatenate(places), len(parts[1]) / within


def write_scan(
    folder: Path, case: int, *, slices: int, matrix: int = MATRIX, liver: float | None = None
) -> tuple[Path, Path]:
    """volume-N.nii.gz and segmentation-N.nii.gz; what is there stays."""
    paths = folder / f"volume-{case}.nii.gz", folder / f"segmentation-{case}.nii.gz"
    if not all(path.exists() for path in paths):
        folder.mkdir(parents=True, exist_ok=True)
        hu, labels, affine = made(case, slices=slices, matrix=matrix, liver=liver)
        for path, voxels in zip(paths, (hu, labels), strict=True):
            stored = nib.Nifti1Image(from_canonical(voxels, affine).transpose(2, 1, 0), affine)
            path.write_bytes(igzip.compress(stored.to_bytes(), 2))
    return paths
