"""Scans of full size, made: a phantom at 512x512 whose slices come again with noise of their own."""

from pathlib import Path

import nibabel as nib
import numpy as np
from isal import igzip
from jaxtyping import Int16, UInt8

from lightning_liver.data.phantom import render
from lightning_liver.volume import from_canonical

MATRIX = 512
NOISE_HU = 6.0  # beside the phantom's own, so that no slice equals another
TUMOUR_FRACTION = 0.012


def made(
    case: int, *, slices: int, matrix: int = MATRIX
) -> tuple[Int16[np.ndarray, "z y x"], UInt8[np.ndarray, "z y x"], np.ndarray]:
    """HU, labels and the affine of a file, canonical, as long a body in as many slices as asked for."""
    volume, labels = render(case, seed=0, matrix=matrix, tumour_fraction=TUMOUR_FRACTION)
    places = np.arange(slices) * len(labels) // slices
    rng = np.random.default_rng(case)
    hu = np.empty((slices, matrix, matrix), np.int16)
    for z, place in enumerate(places):
        noise = rng.standard_normal((matrix, matrix), np.float32) * NOISE_HU
        hu[z] = np.clip(np.rint(volume.hu[place] + noise), -1024, 3071)
    affine = volume.affine.copy()
    affine[:3, 2] *= len(labels) / slices
    return hu, labels[places], affine


def write_scan(folder: Path, case: int, *, slices: int, matrix: int = MATRIX) -> tuple[Path, Path]:
    """volume-N.nii.gz and segmentation-N.nii.gz; what is there stays."""
    paths = folder / f"volume-{case}.nii.gz", folder / f"segmentation-{case}.nii.gz"
    if not all(path.exists() for path in paths):
        folder.mkdir(parents=True, exist_ok=True)
        hu, labels, affine = made(case, slices=slices, matrix=matrix)
        for path, voxels in zip(paths, (hu, labels), strict=True):
            stored = nib.Nifti1Image(from_canonical(voxels, affine).transpose(2, 1, 0), affine)
            path.write_bytes(igzip.compress(stored.to_bytes(), 2))
    return paths
