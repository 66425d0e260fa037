"""Volumes of a store as NIfTI, on the store's grid: x to the patient's left, y to the back, z to the head."""

from collections.abc import Iterator
from io import BytesIO
from threading import Lock

import nibabel as nib
import numpy as np
from isal.igzip import IGzipFile
from jaxtyping import UInt8

from lightning_liver.data.store import CaseRecord, Store
from lightning_liver.report.viewer.server import Answer, whole

Labels = UInt8[np.ndarray, "z y x"]

_TYPE = "application/octet-stream"
_GZIP_LEVEL = 1

reading = Lock()  # two threads must not read an array of the store at once


def scan(store: Store, case: str) -> Answer:
    """Return the HU of a case as int16, slice by slice, uncompressed since it stays on this machine."""
    record = store.cases[case]
    head = header(record, np.int16)
    return Answer(_TYPE, _slices(store, record, head), len(head) + 2 * int(np.prod(record.shape)))


def truth(store: Store, case: str) -> Labels:
    """Return the labels of a case on the store's grid."""
    with reading:
        return np.stack([store.read(case, "labels", z) for z in range(store.cases[case].shape[0])])


def mask(record: CaseRecord, labels: Labels) -> Answer:
    """Return labels as .nii.gz."""
    file = BytesIO()
    with IGzipFile("", "wb", _GZIP_LEVEL, file, mtime=0) as stream:
        stream.write(header(record, np.uint8))
        stream.write(np.ascontiguousarray(labels).tobytes())
    return whole(_TYPE, file.getvalue())


def header(record: CaseRecord, dtype: type[np.generic]) -> bytes:
    """Return the first 352 bytes of a NIfTI file of the store's grid, the middle of the volume at 0 mm."""
    z, y, x = record.shape
    spacing_mm = np.array(record.spacing_mm[::-1])
    affine = np.diag([*(spacing_mm * (-1, -1, 1)), 1.0])  # NIfTI's x goes to the right, its y to the front
    affine[:3, 3] = -affine[:3, :3] @ (np.array([x, y, z]) - 1) / 2
    made = nib.Nifti1Header()
    made.set_data_dtype(dtype)
    made.set_data_shape((x, y, z))
    made.set_qform(affine, code="scanner")
    made.set_sform(affine, code="scanner")
    made.set_xyzt_units("mm")
    made.set_slope_inter(1, 0)
    made["vox_offset"] = made.single_vox_offset
    return bytes(made.binaryblock) + bytes(4)  # four zeros: no extensions


def _slices(store: Store, record: CaseRecord, head: bytes) -> Iterator[bytes]:
    yield head
    for z in range(record.shape[0]):
        with reading:
            pixels = store.read(record.name, "hu", z)
        yield pixels.astype("<i2", copy=False).tobytes()
