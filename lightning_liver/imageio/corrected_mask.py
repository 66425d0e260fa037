"""Reading of masks that an expert corrected, in the format of the program that saved them."""

from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from lightning_liver.errors import LiverError
from lightning_liver.imageio.dicom_seg_reader import read_dicom_seg
from lightning_liver.imageio.nifti import read_labels
from lightning_liver.imageio.seg_nrrd import read_seg_nrrd
from lightning_liver.volume import Volume

_READERS = {
    ".nii.gz": read_labels,
    ".nii": read_labels,
    ".seg.nrrd": read_seg_nrrd,
    ".nrrd": read_seg_nrrd,
    ".dcm": read_dicom_seg,
}
CORRECTED_SUFFIXES = tuple(_READERS)


def read_corrected_mask(path: Path, volume: Volume) -> UInt8[np.ndarray, "z y x"]:
    """Read a mask as 0 background, 1 liver, 2 tumour on the canonical grid of its scan.

    Args:
        path: a label map in NIfTI or NRRD, a segmentation of 3D Slicer (.seg.nrrd) or of DICOM (.dcm).

    Raises:
        LiverError: another kind of file; the errors of its reader: a damaged file, another grid than the scan's, or
            voxels that are neither liver nor tumour.
    """
    path = Path(path)
    for suffix, read in _READERS.items():
        if path.name.lower().endswith(suffix):
            return read(path, volume)
    raise LiverError(f"{path}: expected a name that ends in one of {', '.join(CORRECTED_SUFFIXES)}; save it as one")
