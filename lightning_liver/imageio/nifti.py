"""Reading and writing of NIfTI files in canonical orientation, in bounded memory."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from typing import Any, TypeAlias
from warnings import warn

import nibabel as nib
import numpy as np
from isal.igzip import IGzipFile
from jaxtyping import Float, Shaped, UInt8
from nibabel.affines import voxel_sizes

from lightning_liver.errors import LiverError, LiverWarning
from lightning_liver.files import replacing
from lightning_liver.imageio.label_values import LITS, MOST_LISTED, LabelValues, refuse_strange, rounded
from lightning_liver.imageio.nifti_geometry import Affine, MaskOrder, mask_order, read_geometry
from lightning_liver.imageio.nifti_header import (
    Layout,
    open_stream,
    read_layout,
    refuse_hollow,
    refuse_more,
    refuse_short_stream,
)
from lightning_liver.volume import Volume, canonical_spacing_mm, from_canonical, reorient, to_canonical

_SLAB = 2**20  # voxels converted at once: 8 MiB of float64
_GZIP_LEVEL = 2  # of isal's 0 to 3
_INT16 = np.iinfo(np.int16)

Forms: TypeAlias = Mapping[str, Any] | None
Slab = Shaped[np.ndarray, " n"]


@dataclass(frozen=True)
class Header:
    """Header of a file.

    Args:
        shape: voxels along canonical z, y and x, as in read_volume.
        spacing_mm: along z, y and x.
        dtype: of a voxel in the file.
        affine: from the file's voxel indices (i, j, k) to millimetres (RAS+), as in Volume.
    """

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    dtype: np.dtype[Any]
    affine: Affine

    @property
    def voxels(self) -> int:
        return self.shape[0] * self.shape[1] * self.shape[2]


def read_header(path: Path) -> Header:
    """Read and check a file's header without the warnings of read_volume.

    Raises:
        LiverError: a header that read_volume would refuse.
    """
    layout = read_layout(Path(path))
    affine = read_geometry(layout.path, layout.header).affine
    z, y, x = to_canonical(np.broadcast_to(np.uint8(0), layout.shape), affine).shape
    return Header((z, y, x), _spacing_mm(affine), layout.dtype, affine)


def read_volume(path: Path) -> Volume:
    """Read a CT; values are scaled by the header, rounded to whole HU and clipped to int16. hu is C-contiguous.

    Raises:
        LiverError: a file that is not one whole 3-D NIfTI volume of finite numbers with a valid geometry.
    """
    layout = read_layout(Path(path))
    geometry = read_geometry(layout.path, layout.header)
    _warn_all(layout.path, geometry.notes)
    refuse_hollow(layout)
    voxels = _read(layout, np.int16, lambda stored: _to_hu(layout, stored))
    hu = _contiguous(to_canonical(voxels, geometry.affine))
    return Volume(hu, _spacing_mm(geometry.affine), geometry.affine, geometry.forms)


def read_middle_plane(path: Path) -> Float[np.ndarray, " n"]:
    """Read the values of the plane in the middle of a file, scaled by the header and neither rounded nor clipped.

    It is a plane of the file's own two fastest axes, so of most CT files an axial slice.

    Raises:
        LiverError: as read_volume, but for what is beyond the plane.
    """
    layout = read_layout(Path(path))
    plane = layout.voxels // layout.shape[0]
    start = layout.shape[0] // 2 * plane
    with open_stream(layout.path) as stream:
        stream.seek(layout.offset + start * layout.dtype.itemsize)
        return _scale(layout, _slab(layout, stream, start, start + plane))


def read_labels(path: Path, volume: Volume, values: LabelValues = LITS) -> UInt8[np.ndarray, "z y x"]:
    """Read the label map of a volume as 0, 1, 2 in the volume's orientation.

    A mask that was saved turned follows its own header, see nifti_geometry.mask_order; any other has its voxels in the
    order of the volume's file.

    Args:
        values: of liver and tumour in the file.

    Raises:
        LiverError: as for read_volume's voxels; another shape, or (informative) spacing or place than the volume's;
            values that are not among them.
    """
    layout = read_layout(Path(path))
    strange: set[float] = set()
    labels = _read_for(layout, volume, lambda stored: _to_labels(layout, stored, values, strange))
    refuse_strange(layout.path, strange, values)
    return labels


def read_map(path: Path, volume: Volume) -> tuple[UInt8[np.ndarray, "z y x"], float]:
    """Read the bytes of a volume's map, as write_map writes it, and the value that byte 255 has.

    Raises:
        LiverError: as for read_labels; a map of other numbers than bytes scaled from 0.
    """
    layout = read_layout(Path(path))
    if layout.dtype != np.uint8 or layout.inter != 0 or layout.slope <= 0:
        raise LiverError(f"{path}: expected bytes scaled from 0, found {layout.dtype.name}; give a map of liver-active")
    return _read_for(layout, volume, lambda stored: stored), 255 * layout.slope


def write_labels(path: Path, labels: UInt8[np.ndarray, "z y x"], affine: Affine, forms: Forms = None) -> None:
    """Write a canonical label map on the grid and in the orientation of the file that has this affine.

    Args:
        forms: of the volume, see Volume.

    The file is written under a temporary name and renamed, so `path` is always complete.

    Raises:
        LiverError: a name that ends neither in .nii nor in .nii.gz; a folder that is missing, full or not writable.
    """
    _write(Path(path), labels, affine, forms, slope=1.0)


def write_map(
    path: Path, bytes_: UInt8[np.ndarray, "z y x"], affine: Affine, forms: Forms = None, *, largest: float
) -> None:
    """Write a map of bytes that NIfTI readers scale to 0 to `largest`.

    Raises:
        LiverError: as write_labels.
    """
    _write(Path(path), bytes_, affine, forms, slope=largest / 255)


def write_volume(path: Path, volume: Volume) -> None:
    """Write a CT as int16 HU, on its own grid.

    Raises:
        LiverError: as write_labels.
    """
    _write(Path(path), volume.hu, volume.affine, volume.forms, slope=1.0)


def _write(path: Path, canonical: Shaped[np.ndarray, "z y x"], affine: Affine, forms: Forms, *, slope: float) -> None:
    if not path.name.endswith((".nii", ".nii.gz")):
        raise LiverError(f"{path}: expected a name that ends in .nii or .nii.gz")
    voxels = from_canonical(canonical, affine)
    with _replacing(path) as stream:
        stream.write(_header(voxels, affine, slope, forms).binaryblock + bytes(4))  # four zeros: no extensions
        for plane in voxels:
            stream.write(plane.tobytes())


def _warn_all(path: Path, notes: tuple[str, ...]) -> None:
    for note in notes:
        warn(f"{path}: {note}", LiverWarning, stacklevel=3)


def _spacing_mm(affine: Affine) -> tuple[float, float, float]:
    i, j, k = (float(mm) for mm in voxel_sizes(affine))
    return canonical_spacing_mm((i, j, k), affine)


def _contiguous(view: Shaped[np.ndarray, "z y x"]) -> Shaped[np.ndarray, "z y x"]:
    """Return a C-contiguous array; a view that is only mirrored is mirrored in place, in half the memory."""
    across, *within = (slice(None, None, -1 if stride < 0 else 1) for stride in view.strides)
    stored = view[across, *within]
    if not stored.flags.c_contiguous:
        return np.ascontiguousarray(view)
    for plane in stored if any(one.step < 0 for one in within) else ():
        plane[...] = plane[tuple(within)].copy()
    if across.step < 0:
        for low, high in zip(stored[: len(stored) // 2], stored[::-1], strict=False):
            low[...], high[...] = high.copy(), low.copy()
    return stored


def _read(layout: Layout, dtype: type, convert: Callable[[Slab], Slab]) -> Shaped[np.ndarray, "k j i"]:
    with open_stream(layout.path) as stream:
        voxels: np.ndarray = np.empty(layout.voxels, dtype)
        stream.seek(layout.offset)
        for start in range(0, layout.voxels, _SLAB):
            stop = min(start + _SLAB, layout.voxels)
            voxels[start:stop] = convert(_slab(layout, stream, start, stop))
        refuse_more(layout, stream)
    return voxels.reshape(layout.shape)


def _read_for(layout: Layout, volume: Volume, convert: Callable[[Slab], Slab]) -> UInt8[np.ndarray, "z y x"]:
    """Read a mask or a map in the orientation of its volume."""
    volume_shape = from_canonical(volume.hu, volume.affine).shape
    order = mask_order(layout.path, layout.header, layout.shape[::-1], volume.affine, volume_shape[::-1])
    _refuse_other_shape(layout, order, volume_shape[::-1])
    _warn_all(layout.path, order.notes)
    voxels = _read(layout, np.uint8, convert)
    return _contiguous(to_canonical(reorient(voxels, order.turn), volume.affine))


def _slab(layout: Layout, stream: BufferedIOBase, start: int, stop: int) -> Slab:
    itemsize = layout.dtype.itemsize
    stored = stream.read((stop - start) * itemsize)
    if len(stored) < (stop - start) * itemsize:
        refuse_short_stream(layout, start * itemsize + len(stored))
    return np.frombuffer(stored, layout.dtype)


def _to_hu(layout: Layout, stored: Slab) -> Slab:
    if not layout.scaled and np.can_cast(stored.dtype, np.int16):
        return stored
    hu: Slab = np.rint(_scale(layout, stored)).clip(_INT16.min, _INT16.max)
    return hu


def _scale(layout: Layout, stored: Slab) -> Float[np.ndarray, " n"]:
    with np.errstate(over="ignore", invalid="ignore"):
        values = stored.astype(np.float64)
        if layout.scaled:
            values *= layout.slope
            values += layout.inter
    finite = np.isfinite(values)
    if not finite.all():
        seen = values[~finite][0]
        raise LiverError(
            f"{layout.path}: expected finite numbers, a voxel is {seen}; export the scan again or replace such voxels"
        )
    return values


def _to_labels(layout: Layout, stored: Slab, meant: LabelValues, strange: set[float]) -> UInt8[np.ndarray, " n"]:
    if meant == LITS and stored.dtype == np.uint8 and not layout.scaled and stored.max() <= 2:
        return stored
    values = stored if stored.dtype.kind in "iu" and not layout.scaled else rounded(_scale(layout, stored))
    liver, tumour, unknown = meant.meanings(values)
    if len(strange) < MOST_LISTED and unknown.any():
        strange.update(np.unique(values[unknown].astype(np.float64)).tolist())
    return liver.view(np.uint8) + 2 * tumour.view(np.uint8)


def _refuse_other_shape(layout: Layout, order: MaskOrder, volume_shape: tuple[int, ...]) -> None:
    if order.shape(layout.shape[::-1]) != volume_shape:
        mask, volume = (" x ".join(map(str, shape)) for shape in (layout.shape[::-1], volume_shape))
        raise LiverError(
            f"{layout.path}: the mask has {mask} voxels, its volume {volume} (i, j, k); "
            "give the pair that belongs together"
        )


def _header(voxels: Shaped[np.ndarray, "k j i"], affine: Affine, slope: float, forms: Forms) -> Any:
    header = nib.Nifti1Header()
    header.set_data_dtype(voxels.dtype)
    header.set_data_shape(voxels.shape[::-1])
    header.set_qform(affine, code="scanner")
    if not np.allclose(header.get_qform(), affine, atol=1e-3):  # a qform cannot shear
        header.set_qform(affine, code="unknown")
    header.set_sform(affine, code="scanner")
    for name, value in (forms or {}).items():
        header[name] = value
    header.set_xyzt_units("mm")
    header.set_slope_inter(slope, 0)
    header["vox_offset"] = header.single_vox_offset
    return header


@contextmanager
def _replacing(path: Path) -> Iterator[BufferedIOBase]:
    try:
        with replacing(path) as partial, partial.open("wb") as raw:
            if path.suffix == ".gz":  # no name and time inside, so that equal masks give equal files
                with IGzipFile("", "wb", _GZIP_LEVEL, raw, mtime=0) as stream:
                    yield stream
            else:
                yield raw
    except OSError as error:
        raise LiverError(f"{path}: cannot be written ({error.strerror or error}); check folder and space") from None
