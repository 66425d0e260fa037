"""Volumes as NIfTI, on the grid of their scan: x to the patient's left, y to the back, z to the head."""

from collections.abc import Iterable, Iterator
from io import BytesIO

import nibabel as nib
import numpy as np
from isal.igzip import IGzipFile
from jaxtyping import Int16, UInt8

from lightning_liver.report.viewer.server import Answer, whole

Labels = UInt8[np.ndarray, "z y x"]
Shape = tuple[int, int, int]
Spacing = tuple[float, float, float]

_TYPE = "application/octet-stream"
_GZIP_LEVEL = 1


def scan(slices: Iterable[Int16[np.ndarray, "y x"]], shape: Shape, spacing_mm: Spacing) -> Answer:
    """Return HU as int16, slice by slice, uncompressed since they stay on this machine.

    Args:
        shape: of the whole scan (z, y, x).
        spacing_mm: along z, y and x.
    """
    head = header(shape, spacing_mm, np.int16)
    return Answer(_TYPE, _parts(head, slices), len(head) + 2 * int(np.prod(shape)))


def mask(labels: Labels, spacing_mm: Spacing, *, largest: float = 255.0) -> Answer:
    """Return labels, or a map of bytes, as .nii.gz.

    Args:
        spacing_mm: along z, y and x.
        largest: value of a map where its byte is 255.
    """
    z, y, x = labels.shape
    file = BytesIO()
    with IGzipFile("", "wb", _GZIP_LEVEL, file, mtime=0) as stream:
        stream.write(header((z, y, x), spacing_mm, np.uint8, slope=largest / 255))
        stream.write(np.ascontiguousarray(labels).tobytes())
    return whole(_TYPE, file.getvalue())


def header(shape: Shape, spacing_mm: Spacing, dtype: type[np.generic], *, slope: float = 1.0) -> bytes:
    """Return the first 352 bytes of a NIfTI file of a grid (z, y, x), the middle of the volume at 0 mm."""
    z, y, x = shape
    affine = np.diag(
        [*(np.array(spacing_mm[::-1]) * (-1, -1, 1)), 1.0]
    )  # NIfTI's x goes to the right, its y to the front
    affine[:3, 3] = -affine[:3, :3] @ (np.array([x, y, z]) - 1) / 2
    made = nib.Nifti1Header()
    made.set_data_dtype(dtype)
    made.set_data_shape((x, y, z))
    made.set_qform(affine, code="scanner")
    made.set_sform(affine, code="scanner")
    made.set_xyzt_units("mm")
    made.set_slope_inter(slope, 0)
    made["vox_offset"] = made.single_vox_offset
    return bytes(made.binaryblock) + bytes(4)  # four zeros: no extensions


def _parts(head: bytes, slices: Iterable[Int16[np.ndarray, "y x"]]) -> Iterator[bytes]:
    yield head
    for pixels in slices:
        yield pixels.astype("<i2", copy=False).tobytes()
