"""Sizes beyond which no scan is read: headers can promise, and small files unpack to, more than a machine holds."""

from math import prod

from lightning_liver.errors import LiverError

MOST_VOXELS = 900_000_000  # 1.8 GB as int16: 3,400 slices of 512 x 512
MOST_PIXELS = 4096**2  # of a slice; scanners have up to 1024 x 1024
MOST_FRAMES = 10_000  # of a file; parsing 100,000 takes minutes
MOST_BESIDE = 1 << 26  # bytes before the voxels of a NIfTI file, and after them
MOST_UNPACKED = 1 << 30  # bytes of a deflated DICOM file


def refuse_large(source: object, shape: tuple[int, ...]) -> None:
    """Refuse a scan or slice of too many voxels, before memory is taken.

    Args:
        source: file or folder, for the message.
        shape: voxels along each axis, slices first where there are any.

    Raises:
        LiverError: more than MOST_VOXELS, or MOST_PIXELS in a slice.
    """
    seen = " x ".join(map(str, shape))
    if prod(shape) > MOST_VOXELS:
        raise LiverError(f"{source}: {seen} voxels, at most {MOST_VOXELS:,} are read; cut the scan to the abdomen")
    if prod(shape[-2:]) > MOST_PIXELS:
        raise LiverError(f"{source}: slices of {seen} pixels, at most {MOST_PIXELS:,} are read; resample the scan")
