"""Header and byte stream of a NIfTI file."""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from gzip import BadGzipFile
from io import BufferedIOBase
from math import prod
from pathlib import Path
from typing import Any, cast

import nibabel as nib
import numpy as np
from isal import igzip_lib
from isal.igzip import IGzipFile
from nibabel.spatialimages import HeaderDataError

from lightning_liver.errors import LiverError
from lightning_liver.imageio.limits import MOST_BESIDE, refuse_large

AGAIN = "the file is damaged or incomplete: download or copy it again"
_EXPORT_AGAIN = "export the scan again as one 3-D NIfTI"
_LONGEST_HEADER = 540  # NIfTI-2; NIfTI-1 has 348
_DEFLATE_AT_MOST = 1032  # largest ratio of decompressed to compressed bytes
_SCAN_AT_MOST = 250  # of scans, whose noise is compressed 2 to 10 times
_CHUNK = 1 << 20
_LARGE = 1 << 28  # bytes of voxels from which on the ratio is asked for
_DAMAGE = (BadGzipFile, zlib.error, cast(type[Exception], igzip_lib.error))


@dataclass(frozen=True)
class Layout:
    """Layout of a file's voxels.

    Args:
        path: the file.
        header: nibabel's header, not repaired.
        shape: voxels along the file's own axes, slowest first: (k, j, i).
        dtype: of a stored voxel, byte order included.
        offset: first byte of the voxels in the (decompressed) file.
        slope, inter: a value is slope * stored + inter.
    """

    path: Path
    header: Any
    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    offset: int
    slope: float
    inter: float

    @property
    def voxels(self) -> int:
        return prod(self.shape)

    @property
    def scaled(self) -> bool:
        return (self.slope, self.inter) != (1.0, 0.0)


def read_layout(path: Path) -> Layout:
    """Parse and check a .nii or .nii.gz header (NIfTI-1 or NIfTI-2, either byte order); no voxel is read.

    Raises:
        LiverError: not a readable single-file NIfTI with one 3-D volume of real numbers, too short for its header, or
            with more voxels than are read.
    """
    refuse_pair_name(path)
    with open_stream(path) as stream:
        header = _parse(path, stream.read(_LONGEST_HEADER))
    layout = Layout(
        path, header, _shape(path, header), _dtype(path, header), _offset(path, header), *_scale(path, header)
    )
    _refuse_short(layout)
    refuse_large(path, layout.shape)
    return layout


@contextmanager
def open_stream(path: Path) -> Iterator[BufferedIOBase]:
    """Open a file's bytes, decompressed if the first two bytes are gzip's, whatever its name.

    Raises:
        LiverError: in place of any error of the system or gzip inside the block.
    """
    try:
        with path.open("rb") as raw:
            zipped = _is_gzip(raw)
            yield IGzipFile(fileobj=raw, mode="rb") if zipped else raw
    except EOFError:
        raise LiverError(f"{path}: the gzip stream ends too early, {_bytes(path)} on disk; {AGAIN}") from None
    except _DAMAGE as error:
        raise LiverError(f"{path}: corrupt gzip data ({error}); {AGAIN}") from None
    except OSError as error:
        raise LiverError(f"{path}: cannot be read ({error.strerror or error}); check path and permissions") from None
    except MemoryError:
        raise LiverError(f"{path}: its voxels do not fit into memory; prepare with fewer workers") from None


def refuse_short_stream(layout: Layout, held: int) -> None:
    """Refuse a stream that ended after `held` bytes of voxels if its header promises more."""
    promised = layout.voxels * layout.dtype.itemsize
    if held < promised:
        k, j, i = layout.shape
        raise LiverError(
            f"{layout.path}: the header promises {promised} bytes of voxels ({i} x {j} x {k}, {layout.dtype.name}), "
            f"the file holds {max(held, 0)}; {AGAIN}"
        )


def refuse_hollow(layout: Layout) -> None:
    """Refuse a small file whose voxels can only be nearly all equal, before its memory is taken: it is no scan."""
    promised, size = layout.voxels * layout.dtype.itemsize, layout.path.stat().st_size
    if promised > _LARGE and size * _SCAN_AT_MOST < promised:
        raise LiverError(
            f"{layout.path}: {size} bytes for {promised} bytes of voxels, which are nearly all equal then; give a scan"
        )


def refuse_more(layout: Layout, stream: BufferedIOBase) -> None:
    """Read a stream to its end, where gzip has its checksum, and refuse one that goes on and on."""
    surplus = 0
    while more := stream.read(_CHUNK):
        surplus += len(more)
        if surplus > MOST_BESIDE:
            raise LiverError(
                f"{layout.path}: more than {MOST_BESIDE} bytes follow the voxels that the header promises; {AGAIN}"
            )


def refuse_pair_name(path: Path) -> None:
    """Refuse the two-file form by its name, as an .img has no header."""
    if path.name.lower().removesuffix(".gz").endswith((".hdr", ".img")):
        raise LiverError(f"{path}: .hdr/.img pairs are not read; convert it to one .nii or .nii.gz file")


def _is_gzip(raw: BufferedIOBase) -> bool:
    magic = raw.read(2)
    raw.seek(0)
    return magic == b"\x1f\x8b"


def _bytes(path: Path) -> str:
    return f"{path.stat().st_size} bytes"


def _parse(path: Path, block: bytes) -> Any:
    if not block:
        raise LiverError(f"{path}: the file is empty (0 bytes of content); {AGAIN}")
    if block[344:347] == b"ni1" or block[4:7] == b"ni2":
        raise LiverError(f"{path}: the header of an .hdr/.img pair; convert it to one .nii or .nii.gz file")
    # nibabel's own checks repair silently (a spacing of 0 becomes 1 mm), so they are off
    if block[344:348] == b"n+1\0":
        return nib.Nifti1Header(block[:348], check=False)
    if block[4:8] == b"n+2\0" and len(block) == _LONGEST_HEADER:
        return nib.Nifti2Header(block, check=False)
    raise LiverError(f"{path}: not a NIfTI file, it starts with {block[:8]!r}; give a .nii or .nii.gz file")


def _shape(path: Path, header: Any) -> tuple[int, int, int]:
    dim = [int(n) for n in header["dim"]]
    if not 1 <= dim[0] <= 7:
        raise LiverError(f"{path}: the header claims {dim[0]} dimensions, 1 to 7 are possible; {AGAIN}")
    shape = dim[1 : dim[0] + 1]
    seen = " x ".join(map(str, shape))
    if min(shape) < 1:
        raise LiverError(f"{path}: a volume without voxels ({seen}); {_EXPORT_AGAIN}")
    if len(shape) < 3 or prod(shape[3:]) != 1:
        raise LiverError(f"{path}: {len(shape)}-D ({seen}), one 3-D volume is needed; {_EXPORT_AGAIN}")
    return shape[2], shape[1], shape[0]


def _dtype(path: Path, header: Any) -> np.dtype[Any]:
    try:
        dtype: np.dtype[Any] = header.get_data_dtype()
    except (HeaderDataError, KeyError):
        raise LiverError(f"{path}: unknown data type code {int(header['datatype'])}; {_EXPORT_AGAIN}") from None
    if dtype.kind not in "iuf":
        name = header.get_value_label("datatype")
        raise LiverError(f"{path}: voxels are of type {name}, integers or real numbers are needed; {_EXPORT_AGAIN}")
    return dtype


def _offset(path: Path, header: Any) -> int:
    offset, least = float(header["vox_offset"]), header.single_vox_offset
    if offset == 0:  # some writers omit it and mean the first possible byte
        return int(least)
    if not least <= offset <= MOST_BESIDE:
        raise LiverError(f"{path}: voxels said to start at byte {offset:g}, expected {least} to {MOST_BESIDE}; {AGAIN}")
    return int(offset)


def _scale(path: Path, header: Any) -> tuple[float, float]:
    try:
        slope, inter = header.get_slope_inter()
    except HeaderDataError:
        raise LiverError(f"{path}: scl_inter is {float(header['scl_inter'])}; {_EXPORT_AGAIN}") from None
    return (1.0, 0.0) if slope is None else (float(slope), float(inter))


def _refuse_short(layout: Layout) -> None:
    """Refuse a short file before allocating memory: a damaged header can promise terabytes."""
    size = layout.path.stat().st_size
    with layout.path.open("rb") as raw:
        held = size * _DEFLATE_AT_MOST if _is_gzip(raw) else size
    refuse_short_stream(layout, held - layout.offset)
