"""Reading of a DICOM folder as one CT volume; a folder with more or less than one series is refused."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int16, Shaped
from nibabel.affines import voxel_sizes
from pydicom import dcmread
from pydicom.pixels.utils import iter_pixels

from lightning_liver.errors import LiverError
from lightning_liver.imageio.dicom_checks import refuse_mixture
from lightning_liver.imageio.dicom_geometry import stack
from lightning_liver.imageio.dicom_header import Frame, is_scan_file, list_entries, read_frames, read_headers
from lightning_liver.volume import Volume, canonical_spacing_mm, from_canonical, to_canonical

_INT16 = np.iinfo(np.int16)


def read_series(folder: Path) -> Volume:
    """Read the CT series that lies directly in a folder; values are scaled slice by slice and rounded to whole HU.

    The affine's voxel indices are i along a row, j down the columns, k from slice to slice along the normal (row x
    column), as in a NIfTI of the series with unmoved pixels. hu is C-contiguous; nothing else is kept in memory.

    Raises:
        LiverError: no DICOM files; files of another modality, patient, series, size or orientation, localizers; files
            without pixels or with undecodable pixels; slices that are missing, doubled, unevenly spaced or tilted;
            values that are not HU or outside int16.
    """
    folder = Path(folder)
    headers = read_headers(folder)
    refuse_mixture(folder, headers)
    frames, affine = stack(folder, [frame for path, header in headers.items() for frame in read_frames(path, header)])
    stored = (len(frames), *frames[0].shape)
    hu: np.ndarray = np.empty(to_canonical(np.broadcast_to(np.uint8(0), stored), affine).shape, np.int16)
    _fill(from_canonical(hu, affine), frames)
    i, j, k = (float(mm) for mm in voxel_sizes(affine))
    return Volume(hu, canonical_spacing_mm((i, j, k), affine), affine)


def series_folders(root: Path) -> list[Path]:
    """Find the topmost folders with DICOM images: the root, else those below it, sorted.

    Raises:
        LiverError: the root is no folder, or a folder cannot be read.
    """
    root = Path(root)
    inside = list_entries(root)
    if any(is_scan_file(path) for path in inside):
        return [root]
    here = root.resolve()
    below = [path for path in inside if path.is_dir() and not here.is_relative_to(path.resolve())]  # no cycles of links
    return [folder for path in below for folder in series_folders(path)]


def _fill(voxels: Int16[np.ndarray, "k j i"], frames: Sequence[Frame]) -> None:
    """Fill the voxels file by file, reading each once: a multi-frame file is decoded in its own order."""
    places: dict[Path, list[int]] = defaultdict(list)
    for k, frame in enumerate(frames):
        places[frame.path].append(k)
    for path, own in places.items():
        own.sort(key=lambda k: frames[k].index)
        try:
            source = (
                dcmread(path) if frames[own[0]].deflated else path
            )  # given a path, pydicom holds one frame at a time
            for k, pixels in zip(own, iter_pixels(source), strict=True):
                voxels[k] = _to_hu(frames[k], pixels)
        except LiverError:
            raise
        except Exception as error:  # each decoder raises its own exceptions
            raise LiverError(f"{path}: the pixels cannot be decoded ({error}); export the file again") from None


def _to_hu(frame: Frame, pixels: Shaped[np.ndarray, "j i"]) -> Float[np.ndarray, "j i"]:
    hu: np.ndarray = np.rint(pixels * np.float64(frame.slope) + frame.intercept)
    low, high = hu.min(), hu.max()
    if low < _INT16.min or high > _INT16.max:
        raise LiverError(
            f"{frame.path}: values from {low:g} to {high:g} HU after the rescale (slope {frame.slope:g}, intercept "
            f"{frame.intercept:g}), {_INT16.min} to {_INT16.max} can be kept; export the series with a rescale to HU"
        )
    return hu
