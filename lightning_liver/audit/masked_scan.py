"""A case with its mask as checks of labels see it: the box around the liver, and the whole body on a coarse grid."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from jaxtyping import Float32, Int16, UInt8

from lightning_liver.data.store import HU_RANGE, Store
from lightning_liver.metrics.components import ZYX, Box, Components, components
from lightning_liver.metrics.voxel_counts import voxel_ml

COARSE_MM = 3.0  # edge of a voxel of the coarse grid, or a slice's distance where that is more
MARGIN_MM = 30.0  # of slices above and below the liver on the coarse grid
_CUT_HU = (-200, 300)  # air and bone weigh no more than this in a mean


@dataclass(frozen=True)
class CoarseScan:
    """Scan on a grid of about COARSE_MM: all of the slices in plane, along z the liver and MARGIN_MM around it.

    Args:
        hu: mean HU, cut to -200 to 300.
        liver: fraction of liver, tumour included.
        spacing_mm: along z, y, x.
    """

    hu: Float32[np.ndarray, "z y x"]
    liver: Float32[np.ndarray, "z y x"]
    spacing_mm: tuple[float, float, float]


@dataclass(frozen=True)
class MaskedScan:
    """A case in the box around its labels, one voxel wider than them where the scan is.

    Args:
        box: on the store's grid; labels and hu are in it.
        depth: number of slices of the scan.
        highest_hu: of the scan, to 4 HU.
    """

    name: str
    box: Box
    depth: int
    spacing_mm: tuple[float, float, float]
    labels: UInt8[np.ndarray, "z y x"]
    hu: Int16[np.ndarray, "z y x"]
    highest_hu: int
    coarse: CoarseScan

    @property
    def voxel_ml(self) -> float:
        return float(voxel_ml(self.spacing_mm))

    @property
    def pixel_mm2(self) -> float:
        return self.spacing_mm[1] * self.spacing_mm[2]

    @cached_property
    def liver_parts(self) -> Components:
        """Parts of the liver, tumours included; slices without liver part nothing."""
        used = np.flatnonzero(self.liver_pixels)
        parts = components(self.labels[used] > 0, ZYX)
        runs = parts.runs.copy()
        runs[:, 0] = used[runs[:, 0]]
        return parts._replace(runs=runs)

    @cached_property
    def lesions(self) -> Components:
        return components(self.labels == 2, ZYX)

    @cached_property
    def liver_pixels(self) -> list[int]:
        """Pixels of liver in each slice of the box."""
        return [int(np.count_nonzero(plane)) for plane in self.labels]


def read_masked_scan(store: Store, name: str) -> MaskedScan | None:
    """Read each slice around a case's liver once; None for a case without a voxel of label.

    Raises:
        LiverError: the case is damaged.
    """
    record = store.cases[name]
    used = np.flatnonzero(record.liver_pixels)
    if not used.size:
        return None
    depth, spacing_mm = record.shape[0], record.spacing_mm
    first, last = max(int(used[0]) - 1, 0), min(int(used[-1]) + 2, depth)
    labels = np.stack([store.read(name, "labels", z) for z in range(first, last)])
    y, x = (_widened(np.flatnonzero(labels.any(axis=axes)), labels.shape[3 - sum(axes)]) for axes in ((0, 2), (0, 1)))
    reducer = _Reducer(record.shape, spacing_mm)
    margin = round(MARGIN_MM / spacing_mm[0])
    hu = np.zeros((last - first, y.stop - y.start, x.stop - x.start), np.int16)
    for z in range(max(first - margin, 0), min(last + margin, depth)):
        plane = store.read(name, "hu", z)
        inside = first <= z < last
        if inside:
            hu[z - first] = plane[y, x]
        reducer.add(plane, labels[z - first] if inside else None)
    return MaskedScan(
        name=name,
        box=(slice(first, last), y, x),
        depth=depth,
        spacing_mm=spacing_mm,
        labels=np.ascontiguousarray(labels[:, y, x]),
        hu=hu,
        highest_hu=int(HU_RANGE[0] + 4 * np.flatnonzero(record.hu_counts)[-1]),
        coarse=reducer.volume(),
    )


class _Reducer:
    """Mean over blocks of slices and pixels, slice by slice."""

    def __init__(self, shape: tuple[int, int, int], spacing_mm: tuple[float, float, float]) -> None:
        self.together = max(1, round(COARSE_MM / spacing_mm[0]))
        rows, columns = (max(1, round(n * mm / COARSE_MM)) for n, mm in zip(shape[1:], spacing_mm[1:], strict=True))
        self.size = (columns, rows)
        self.spacing_mm = (
            self.together * spacing_mm[0],
            shape[1] * spacing_mm[1] / rows,
            shape[2] * spacing_mm[2] / columns,
        )
        self.slices: list[tuple[np.ndarray, np.ndarray]] = []
        self.pending: list[tuple[np.ndarray, np.ndarray]] = []

    def add(self, hu: Int16[np.ndarray, "y x"], labels: UInt8[np.ndarray, "y x"] | None) -> None:
        liver = np.zeros(hu.shape, np.float32) if labels is None else (labels > 0).astype(np.float32)
        planes = (hu.clip(*_CUT_HU).astype(np.float32), liver)
        small = [cv2.resize(plane, self.size, interpolation=cv2.INTER_AREA) for plane in planes]
        self.pending.append((small[0], small[1]))
        if len(self.pending) == self.together:
            self._reduce()

    def volume(self) -> CoarseScan:
        if self.pending:
            self._reduce()
        hu, liver = (np.stack(planes) for planes in zip(*self.slices, strict=True))
        return CoarseScan(hu, liver, self.spacing_mm)

    def _reduce(self) -> None:
        hu, liver = (np.stack(planes).mean(axis=0) for planes in zip(*self.pending, strict=True))
        self.slices.append((hu, liver))
        self.pending = []


def _widened(used: Sequence[int] | np.ndarray, size: int) -> slice:
    return slice(max(int(used[0]) - 1, 0), min(int(used[-1]) + 2, size))
