"""Synthetic scans of full size: a phantom at 512x512 whose slices are repeated, each with noise of its own."""

from pathlib import Path

import nibabel as nib
import numpy as np
from isal import igzip
from jaxtyping import Int16, UInt8

from lightning_liver.data.phantom.data_set import render
from lightning_liver.volume import from_canonical

MATRIX = 512
NOISE_HU = 6.0  # added to the phantom's own, so that all slices differ
TUMOUR_FRACTION = 0.012
VERSION = 1  # with which the figures of README.md were measured


def options(matrix: int, cases: int) -> list[str]:
    """Return options of train.py for phantoms on their own grid of matrix x matrix pixels."""
    return [
        "data=phantom",
        f"data.matrix={matrix}",
        f"data.cases={cases}",
        "data.spacing_mm=null",
        f"data.phantom_version={VERSION}",
    ]


def full_size(
    case: int, *, slices: int, matrix: int = MATRIX, liver: float | None = None
) -> tuple[Int16[np.ndarray, "z y x"], UInt8[np.ndarray, "z y x"], np.ndarray]:
    """Return HU, labels (both canonical) and affine of a scan with this number of slices.

    Args:
        liver: fraction of the slices that show liver, by a longer body above and below it; None keeps the phantom's.
    """
    volume, labels = render(case, seed=0, matrix=matrix, tumour_fraction=TUMOUR_FRACTION, version=VERSION)
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
    """Return the phantom's slice behind each new slice, and the new slice spacing over the phantom's."""
    shown = np.flatnonzero(labels.any(axis=(1, 2)))
    parts = range(shown[0]), range(shown[0], shown[-1] + 1), range(shown[-1] + 1, len(labels))
    within = round(slices * liver)
    above = (slices - within) // 2
    counts = above, within, slices - within - above
    places = [part.start + np.arange(n) * len(part) // n for n, part in zip(counts, parts, strict=True)]
    return np.concatenate(places), len(parts[1]) / within


def write_scan(
    folder: Path, case: int, *, slices: int, matrix: int = MATRIX, liver: float | None = None
) -> tuple[Path, Path]:
    """Write volume-N.nii.gz and segmentation-N.nii.gz unless both exist."""
    paths = folder / f"volume-{case}.nii.gz", folder / f"segmentation-{case}.nii.gz"
    if not all(path.exists() for path in paths):
        folder.mkdir(parents=True, exist_ok=True)
        hu, labels, affine = full_size(case, slices=slices, matrix=matrix, liver=liver)
        for path, voxels in zip(paths, (hu, labels), strict=True):
            stored = nib.Nifti1Image(from_canonical(voxels, affine).transpose(2, 1, 0), affine)
            path.write_bytes(igzip.compress(stored.to_bytes(), 2))
    return paths
