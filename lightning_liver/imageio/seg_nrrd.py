"""Reading of label maps in NRRD and of 3D Slicer's segmentations in it (.seg.nrrd), in bounded memory."""

import re
import zlib
from bz2 import BZ2File
from collections.abc import Mapping
from dataclasses import dataclass
from io import BufferedIOBase, BytesIO
from math import prod
from pathlib import Path
from typing import Any, cast

import nrrd
import numpy as np
from isal import igzip_lib
from isal.igzip import IGzipFile
from jaxtyping import Shaped, UInt8
from nrrd.errors import NRRDError

from lightning_liver.errors import LiverError
from lightning_liver.imageio.label_values import LITS, refuse_strange, rounded
from lightning_liver.imageio.mask_grid import on_grid, refuse_larger
from lightning_liver.imageio.nifti_geometry import Affine
from lightning_liver.imageio.segment_names import Segment, labels_of, refuse_segment
from lightning_liver.readers import parsing
from lightning_liver.volume import Volume

_AGAIN = "save it again, as one compressed .nrrd or .seg.nrrd"
_LONGEST_HEADER = 1 << 20  # bytes; a hundred segments take 50,000
_MOST_LAYERS = 64
_SLAB = 1 << 20  # values read at once
_TO_RAS = {
    **dict.fromkeys(("left-posterior-superior", "lps"), (-1, -1, 1)),
    **dict.fromkeys(("right-anterior-superior", "ras"), (1, 1, 1)),
    **dict.fromkeys(("left-anterior-superior", "las"), (-1, 1, 1)),
}
_RAW, _GZIP, _BZIP2 = ("raw",), ("gzip", "gz"), ("bzip2", "bz2")
_ELSEWHERE = ("datafile", "lineskip", "byteskip")
_FIELD = re.compile(r"Segment(\d{1,6})_(Name|ID|LabelValue|Layer)")
_END = re.compile(rb"\r?\n\r?\n")
_ERRORS = (NRRDError, EOFError, zlib.error, cast(type[Exception], igzip_lib.error))

Meanings = Mapping[tuple[int, int], tuple[str, int | None]]


@dataclass(frozen=True)
class _Layout:
    """Layout of a file's voxels.

    Args:
        shape: voxels along i, j and k.
        layers: label maps, voxel by voxel beside each other.
        dtype: of a stored value, byte order included.
        meanings: name and label of each segment, by its layer and its value there; None for a plain label map.
    """

    shape: tuple[int, int, int]
    layers: int
    dtype: np.dtype[Any]
    meanings: Meanings | None


def read_seg_nrrd(path: Path, volume: Volume) -> UInt8[np.ndarray, "z y x"]:
    """Read a label map in NRRD as 0 background, 1 liver, 2 tumour on the grid of its scan.

    A file with segments of 3D Slicer goes by their names, see segment_names.labels_of; tumour lies over liver where
    they overlap. Another file has the values 0, 1 and 2. A single voxel of 0 stands for an empty mask of any geometry.

    Raises:
        LiverError: a damaged file; voxels in another file; a segment with voxels of another name; other values; another
            grid than the scan's, see mask_grid.on_grid.

    Source: https://teem.sourceforge.net/nrrd/format.html; "Segmentations" in the developer guide of 3D Slicer.
    """
    with parsing(path, _AGAIN, _ERRORS), path.open("rb") as raw:
        header = _header(path, raw)
        layout = _layout(path, header)
        refuse_larger(path, layout.shape, volume)
        labels = _read(path, layout, _stream(path, header, raw))
        if labels.size == 1 and not labels.any():
            return np.zeros_like(volume.hu, np.uint8)
        affine = _affine(path, header)
    return on_grid(path, labels, affine, volume)


def _header(path: Path, raw: BufferedIOBase) -> Mapping[str, Any]:
    """Return the fields of the header, and leave the stream where the voxels start."""
    block = raw.read(_LONGEST_HEADER)
    if not block.startswith(b"NRRD"):
        raise LiverError(f"{path}: not an NRRD file, it starts with {block[:8]!r}; {_AGAIN}")
    end = _END.search(block)
    if end is None:
        raise ValueError(f"its header does not end within {_LONGEST_HEADER} bytes")
    raw.seek(end.end())
    with np.errstate(all="ignore"):
        header: Mapping[str, Any] = nrrd.read_header(block[: end.start()].decode("utf-8", "replace").split("\n"))
    for name, value in header.items():
        if name.lower().replace(" ", "") in _ELSEWHERE and str(value) != "0":
            raise LiverError(f"{path}: its voxels are elsewhere ({name}: {value}), which is not followed; {_AGAIN}")
    return header


def _layout(path: Path, header: Mapping[str, Any]) -> _Layout:
    sizes = tuple(int(size) for size in header["sizes"])
    directions = np.atleast_2d(header.get("space directions", np.empty((0, 3))))
    has_layers = len(sizes) == 4 and len(directions) == 4 and bool(np.isnan(directions[0]).all())
    if len(sizes) != header["dimension"] or not (len(sizes) == 3 or has_layers):
        seen = " x ".join(map(str, sizes))
        raise LiverError(f"{path}: {len(sizes)}-D ({seen}), 3-D is needed, or layers as the first of 4 axes; {_AGAIN}")
    *first, i, j, k = sizes
    layers = first[0] if first else 1
    if not 1 <= layers <= _MOST_LAYERS:
        raise LiverError(f"{path}: {layers} layers, 1 to {_MOST_LAYERS} are read; {_AGAIN}")
    dtype = _dtype(header)
    if dtype.kind not in "iuf":
        raise LiverError(f"{path}: voxels are of type {header['type']}, numbers are needed; {_AGAIN}")
    meanings = _meanings(path, header, layers)
    if meanings is None and layers > 1:
        raise LiverError(f"{path}: {layers} layers without segments (Segment0_Name); {_AGAIN}")
    return _Layout((i, j, k), layers, dtype, meanings)


def _dtype(header: Mapping[str, Any]) -> np.dtype[Any]:
    """Return the type of a stored value, as pynrrd reads one."""
    one = {**header, "sizes": np.array([1]), "dimension": 1, "encoding": "raw"}
    dtype: np.dtype[Any] = nrrd.read_data(one, BytesIO(bytes(8))).dtype
    return dtype


def _meanings(path: Path, header: Mapping[str, Any], layers: int) -> Meanings | None:
    """Return what the values of segments are; None without a segment. Before Slicer 4.11 each had its own layer."""
    fields: dict[int, dict[str, str]] = {}
    for key, value in header.items():
        if match := _FIELD.fullmatch(key):
            fields.setdefault(int(match[1]), {})[match[2]] = value
    names = [each.get("Name") or each.get("ID") or f"Segment{number}" for number, each in fields.items()]
    meanings: dict[tuple[int, int], tuple[str, int | None]] = {}
    labels = labels_of(path, [Segment(name) for name in names])
    for (number, each), name, label in zip(fields.items(), names, labels, strict=True):
        layer = int(each.get("Layer", number if layers > 1 else 0))
        value = int(each.get("LabelValue", 1))
        if not 0 <= layer < layers:
            raise ValueError(f"segment {name!r} is in layer {layer} of {layers}")
        if meanings.setdefault((layer, value), (name, label))[1] != label:
            raise ValueError(f"segment {name!r} has the voxels of another one")
    return meanings or None


def _stream(path: Path, header: Mapping[str, Any], raw: BufferedIOBase) -> BufferedIOBase:
    encoding = header["encoding"]
    if encoding in _GZIP:
        return IGzipFile(fileobj=raw, mode="rb")
    if encoding in _BZIP2:
        return BZ2File(raw)
    if encoding not in _RAW:
        raise LiverError(f"{path}: its voxels are in the encoding {encoding}, raw or gzip is needed; {_AGAIN}")
    return raw


def _read(path: Path, layout: _Layout, stream: BufferedIOBase) -> UInt8[np.ndarray, "k j i"]:
    voxels = prod(layout.shape)
    labels: np.ndarray = np.zeros(voxels, np.uint8)
    at_once, strange = max(_SLAB // layout.layers, 1), set[float]()
    for start in range(0, voxels, at_once):
        stop = min(start + at_once, voxels)
        promised = (stop - start) * layout.layers * layout.dtype.itemsize
        stored = stream.read(promised)
        if len(stored) < promised:
            raise ValueError("fewer voxels than its header promises")
        values = np.frombuffer(stored, layout.dtype).reshape(-1, layout.layers)
        for layer in range(layout.layers):
            _label(path, layout.meanings, layer, values[:, layer], labels[start:stop], strange)
    if stream.read(1):  # also reads the checksum of gzip
        raise ValueError("more voxels than its header promises")
    refuse_strange(path, strange, LITS)
    return labels.reshape(layout.shape[::-1])


def _label(
    path: Path,
    meanings: Meanings | None,
    layer: int,
    stored: Shaped[np.ndarray, " n"],
    labels: UInt8[np.ndarray, " n"],
    strange: set[float],
) -> None:
    """Write the labels of a layer over lower ones."""
    filled = stored != 0
    if not filled.any():
        return
    values = stored if stored.dtype.kind in "iu" else rounded(stored.astype(np.float64))
    if meanings is None:
        liver, tumour, unknown = LITS.meanings(values)
        labels[liver], labels[tumour] = 1, 2
        strange.update(np.unique(values[unknown]).astype(float).tolist())
        return
    for value in np.unique(values[filled]).tolist():
        if value == 0:
            continue
        if (layer, value) not in meanings:
            where = f"layer {layer} has the value {value:g}, which is no segment's"
            raise LiverError(f"{path}: {where}; remove these voxels, or add a segment for them, liver or tumour")
        name, label = meanings[layer, value]
        if label is None:
            refuse_segment(path, name)
        its = values == value
        labels[its] = np.maximum(labels[its], label)


def _affine(path: Path, header: Mapping[str, Any]) -> Affine:
    """Return the affine from voxel indices (i, j, k) to millimetres (RAS+)."""
    space = str(header.get("space", "")).lower()
    directions, origin = header.get("space directions"), header.get("space origin")
    if space not in _TO_RAS or directions is None or origin is None:
        lacking = f"space {space or 'missing'}" if space not in _TO_RAS else "no space directions or space origin"
        raise LiverError(f"{path}: its header says no place ({lacking}); export it with the scan as reference geometry")
    affine = np.eye(4)
    affine[:3, :3] = np.asarray(directions, float)[-3:].T
    affine[:3, 3] = origin
    return np.diag([*_TO_RAS[space], 1]) @ affine
