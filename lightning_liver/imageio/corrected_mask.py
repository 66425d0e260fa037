"""Masks that an expert corrected."""

from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from lightning_liver.imageio.nifti import read_labels
from lightning_liver.volume import Volume

CORRECTED_SUFFIXES = (".nii.gz", ".nii", ".seg.nrrd", ".nrrd", ".dcm")


def read_corrected_mask(path: Path, volume: Volume) -> UInt8[np.ndarray, "z y x"]:
    """Read a corrected mask as 0 background, 1 liver, 2 tumour on the scan's grid."""
    return read_labels(path, volume)
