"""Masks of NIfTI files, on their own grids."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch

from .segment import segment


def segment_files(
    network: torch.nn.Module, given: str, output: str, model: Mapping[str, Any], device: torch.device
) -> list[Path]:
    """Write a mask of a NIfTI file, or of each in a folder, as OUTPUT/NAME_seg.nii.gz; return the masks.

    Args:
        given: in HU, .nii or .nii.gz.
        model: the document of the export, configs/preprocessing.json of a bundle.
    """
    path, folder, written = Path(given), Path(output), []
    folder.mkdir(parents=True, exist_ok=True)

    def apply(images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return network(torch.from_numpy(images).to(device)).float().cpu().numpy()

    scans = [path] if path.is_file() else sorted(each for each in path.glob("*.nii*") if each.is_file())
    if not scans:
        raise FileNotFoundError(f"{path}: no NIfTI file; give --input FILE_OR_FOLDER")
    for scan in scans:
        image: Any = nib.load(scan)
        mask = folder / f"{scan.name.removesuffix('.gz').removesuffix('.nii')}_seg.nii.gz"
        nib.save(nib.Nifti1Image(segment(apply, image, model), image.affine), mask)
        written.append(mask)
    return written
