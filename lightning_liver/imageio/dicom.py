"""Reading of a DICOM folder as one CT volume; a folder with more or less than one CT series is refused."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from warnings import warn

import numpy as np
from jaxtyping import Bool, Float, Int16, Shaped
from nibabel.affines import voxel_sizes
from pydicom import Dataset
from pydicom.pixels.utils import iter_pixels

from lightning_liver.errors import LiverError, LiverWarning
from lightning_liver.imageio.dicom_checks import refuse_mixture
from lightning_liver.imageio.dicom_files import find_folders, read_dicom
from lightning_liver.imageio.dicom_geometry import stack
from lightning_liver.imageio.dicom_header import AIR_HU, Frame, read_frames, read_headers
from lightning_liver.imageio.limits import refuse_large
from lightning_liver.volume import Volume, canonical_spacing_mm, from_canonical, to_canonical

_INT16 = np.iinfo(np.int16)
_MOST_LISTED = 4

Pixels = Shaped[np.ndarray, "j i"]
Padded = Bool[np.ndarray, "j i"]


def read_series(folder: Path) -> Volume:
    """Read the CT series that lies directly in a folder; values are scaled slice by slice and rounded to whole HU.

    Files beside its slices, such as scouts and reports, are left out with a warning. Padding that no CT value can have
    becomes air.

    The affine's voxel indices are i along a row, j down the columns, k from slice to slice along the normal (row x
    column), as in a NIfTI of the series with unmoved pixels. hu is C-contiguous; nothing else is kept in memory.

    Raises:
        LiverError: no slices of a CT; slices of several patients, series, sizes or orientations, or with undecodable
            pixels; slices that are missing, doubled, unevenly spaced or tilted; values that are not HU or outside
            int16; more voxels than are read.
    """
    folder = Path(folder)
    headers = read_headers(folder)
    refuse_mixture(folder, headers)
    frames, affine = stack(folder, [frame for path, header in headers.items() for frame in read_frames(path, header)])
    stored = (len(frames), *frames[0].shape)
    refuse_large(folder, stored)
    hu: np.ndarray = np.empty(to_canonical(np.broadcast_to(np.uint8(0), stored), affine).shape, np.int16)
    _fill(from_canonical(hu, affine), frames)
    i, j, k = (float(mm) for mm in voxel_sizes(affine))
    return Volume(hu, canonical_spacing_mm((i, j, k), affine), affine)


def series_folders(root: Path) -> list[Path]:
    """Find the folders with slices of a CT, the root and all below, sorted; other DICOM folders are told and left out.

    Without any of a CT all folders with DICOM images are returned, for read_series to say what they are.

    Raises:
        LiverError: the root is no folder, or a folder cannot be read.
    """
    slices, others = find_folders(root)
    if slices and others:
        more = len(others) - _MOST_LISTED
        listed = ", ".join(map(str, others[:_MOST_LISTED])) + (f" and {more} more" if more > 0 else "")
        warn(f"{root}: folders with other DICOM images than slices of a CT are left out: {listed}", LiverWarning, 2)
    return slices or others


def _fill(voxels: Int16[np.ndarray, "k j i"], frames: Sequence[Frame]) -> None:
    """Fill the voxels file by file, reading each once: a multi-frame file is decoded in its own order."""
    places: dict[Path, list[int]] = defaultdict(list)
    for k, frame in enumerate(frames):
        places[frame.path].append(k)
    for path, own in places.items():
        own.sort(key=lambda k: frames[k].index)
        try:
            for k, (pixels, padded) in zip(own, _decode(frames[own[0]], len(own)), strict=True):
                voxels[k] = _to_hu(frames[k], pixels, padded)
        except LiverError:
            raise
        except Exception as error:  # each decoder raises its own exceptions
            raise LiverError(f"{path}: the pixels cannot be decoded ({error}); export the file again") from None


def _decode(frame: Frame, count: int) -> Iterator[tuple[Pixels, Padded]]:
    """Yield the pixels of each frame of a file and which are padding; pydicom holds one frame at a time of a path."""
    source: Path | Dataset = frame.path
    if frame.whole is not None:
        source = read_dicom(frame.path)
        source.file_meta.TransferSyntaxUID = frame.whole
    if frame.padding is None:
        yield from ((pixels, np.zeros(pixels.shape, bool)) for pixels in _iterate(source, count))
        return
    low, high = frame.padding
    both = (_iterate(source, count, correct_unused_bits=correct) for correct in (True, False))
    for pixels, raw in zip(*both, strict=True):
        yield pixels, ((pixels >= low) & (pixels <= high)) | ((raw >= low) & (raw <= high))


def _iterate(source: Path | Dataset, count: int, *, correct_unused_bits: bool = True) -> Iterator[Pixels]:
    decode = partial(iter_pixels, source, correct_unused_bits=correct_unused_bits)
    try:
        yield from decode()
    except ValueError as error:
        if "read-only" not in str(error):
            raise
        # pydicom 3.0 fails on frames in order where JPEG 2000 and header disagree about signs, but not on chosen ones
        yield from decode(indices=range(count))


def _to_hu(frame: Frame, pixels: Pixels, padded: Padded) -> Float[np.ndarray, "j i"]:
    hu: np.ndarray = np.rint(pixels * np.float64(frame.slope) + frame.intercept)
    hu[padded] = AIR_HU
    low, high = hu.min(), hu.max()
    if low < _INT16.min or high > _INT16.max:
        raise LiverError(
            f"{frame.path}: values from {low:g} to {high:g} HU after the rescale (slope {frame.slope:g}, intercept "
            f"{frame.intercept:g}), {_INT16.min} to {_INT16.max} can be kept; export the series with a rescale to HU"
        )
    return hu
