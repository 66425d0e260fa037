"""NIfTI files for tests, valid or not, and nibabel's reading of them as an oracle."""

import gzip
import itertools
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import from_matvec
from nibabel.eulerangles import euler2mat

from lightning_liver.errors import LiverError
from lightning_liver.imageio.nifti import read_volume
from lightning_liver.volume import Volume

SHAPE = (5, 6, 7)  # i, j, k: unequal, so that no transpose goes unseen
SPACING_MM = (0.7, 0.8, 2.5)
LPS = np.diag([-0.7, -0.8, 2.5, 1.0])
UNIT = np.eye(4)
ORIENTATIONS = list(itertools.product(itertools.permutations(range(3)), itertools.product((1, -1), repeat=3)))


def affine_of(order: tuple[int, ...], signs: tuple[int, ...]) -> np.ndarray:
    """Return the affine with axis n along axis order[n] of the body, in the direction of signs[n]."""
    linear = np.zeros((3, 3))
    linear[list(order), range(3)] = np.multiply(signs, SPACING_MM)
    return from_matvec(linear, (11, -22, 33))


def oblique(x: float, y: float, z: float, shear: float = 0.0) -> np.ndarray:
    sheared = np.eye(3) + shear * np.eye(3, k=1)
    return from_matvec(euler2mat(z, y, x) @ sheared @ np.diag(SPACING_MM), (11, -22, 33))


AFFINES = [affine_of(*orientation) for orientation in ORIENTATIONS] + [
    oblique(0.1, 0.2, 0.3),
    oblique(3.0, -0.4, 2.9),
    oblique(-0.6, 0.5, -1.7),
    oblique(0.0, 0.0, 0.0, shear=0.5),  # a tilted gantry
]


def numbers(shape=SHAPE, dtype=np.int16) -> np.ndarray:
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


def labels_of(shape=SHAPE) -> np.ndarray:
    return (numbers(shape) % 3).astype(np.uint8)


def save(path: Path, voxels: np.ndarray, affine=LPS, *, kind=nib.Nifti1Header, endianness="<", **fields) -> Path:
    """Write a NIfTI file with any header, bypassing nibabel's checks; pixdim is given as its three spacings."""
    header = kind(endianness=endianness)
    header.set_data_dtype(voxels.dtype)
    header.set_data_shape(voxels.shape)
    header.set_qform(affine, "scanner")
    header.set_sform(affine, "scanner")
    header.set_slope_inter(1, 0)
    header["vox_offset"] = header.single_vox_offset
    for name, value in fields.items():
        header[name][slice(1, 4) if name == "pixdim" else ...] = value
    stored = voxels.astype(voxels.dtype.newbyteorder(endianness)).tobytes("F")
    content = header.binaryblock + bytes(4) + stored
    path.write_bytes(gzip.compress(content, 1) if path.name.endswith(".gz") else content)
    return path


def volume_at(folder: Path, affine=LPS, shape=SHAPE, **fields) -> Volume:
    return read_volume(save(folder / "volume-1.nii", numbers(shape), affine, **fields))


def oracle(path: Path) -> np.ndarray:
    """Read LPS (z, y, x) by nibabel alone."""
    ras = nib.as_closest_canonical(nib.load(path))
    return np.asarray(ras.dataobj)[::-1, ::-1].transpose(2, 1, 0)


def canonical_labels(affine: np.ndarray, folder: Path) -> np.ndarray:
    return oracle(save(folder / "oracle.nii", labels_of(), affine))


def refused(path: Path, match: str) -> None:
    with pytest.raises(LiverError, match=match) as caught:
        read_volume(path)
    assert str(path) in str(caught.value)
