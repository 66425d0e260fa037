"""Masks of an expert by the kind of their file."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from lightning_liver.errors import LiverError
from lightning_liver.imageio.corrected_mask import CORRECTED_SUFFIXES, read_corrected_mask
from tests.imageio.dicom_files import write_segmentation_of
from tests.imageio.nifti_files import LPS, SHAPE, labels_of, volume_at
from tests.imageio.nrrd_files import canonical, scan_at, write_nrrd


@pytest.mark.parametrize("name", ["m.nii", "M.NII.GZ", "m.nrrd", "a.b.seg.nrrd", "m.DCM"])
def test_the_name_says_how_a_mask_is_read(tmp_path: Path, name: str) -> None:
    image = nib.Nifti1Image(labels_of().astype(np.float64), LPS)
    path = tmp_path / name
    if name.endswith("DCM"):
        write_segmentation_of(path, labels_of().T, bits=1)
    elif name.endswith("nrrd"):
        write_nrrd(path, labels_of(), LPS)
    else:
        nib.save(image, path)
    np.testing.assert_array_equal(read_corrected_mask(path, volume_at(tmp_path)), canonical(image))


def test_a_mask_in_nifti_keeps_its_errors(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(labels_of((4, 6, 7)), LPS), tmp_path / "m.nii.gz")
    with pytest.raises(LiverError, match="the mask has 4 x 6 x 7 voxels, its volume 5 x 6 x 7"):
        read_corrected_mask(tmp_path / "m.nii.gz", volume_at(tmp_path))


@pytest.mark.parametrize("name", ["m.nhdr", "m.mha", "m.txt", "m"])
def test_another_kind_of_file_is_refused_with_those_that_are_read(tmp_path: Path, name: str) -> None:
    with pytest.raises(LiverError, match=r"expected a name that ends in one of .nii.gz, .nii, .seg.nrrd, .nrrd, .dcm"):
        read_corrected_mask(tmp_path / name, scan_at(LPS, SHAPE))


@pytest.mark.parametrize("suffix", CORRECTED_SUFFIXES)
@pytest.mark.parametrize("content", [None, b"", b"\x1f\x8b\x08\x00", b"NRRD0004\n\n", b"{}"])
def test_a_file_that_is_missing_or_no_mask_is_a_message(tmp_path: Path, suffix: str, content: bytes | None) -> None:
    path = tmp_path / f"m{suffix}"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(LiverError, match=rf"m{suffix}: "):
        read_corrected_mask(path, scan_at(LPS, SHAPE))
