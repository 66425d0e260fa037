"""Faults planted in the masks, or HU, of phantoms: three of each kind that the audit of labels looks for.

A fault is a function of a generator and a Scan, which it changes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.random import Generator
from scipy import ndimage

from lightning_liver.data.store import HU_RANGE, CaseRecord, Store, hu_histogram


@dataclass
class Scan:
    hu: np.ndarray  # int16 (z, y, x), LPS
    labels: np.ndarray
    spacing_mm: tuple[float, float, float]

    def ball(self, centre: np.ndarray, radius_mm: float) -> np.ndarray:
        """Mask of a ball; centre is an index (z, y, x)."""
        axes = [(np.arange(n) - c) * mm for n, c, mm in zip(self.labels.shape, centre, self.spacing_mm, strict=True)]
        z, y, x = np.ix_(*axes)
        return z**2 + y**2 + x**2 <= radius_mm**2

    def place(self, rng: Generator, mask: np.ndarray) -> np.ndarray:
        """One voxel of a mask."""
        found = np.argwhere(mask)
        assert len(found), "no place for this fault"
        return found[rng.integers(len(found))]

    @property
    def liver(self) -> np.ndarray:
        return self.labels > 0

    def depth_mm(self) -> np.ndarray:
        """Distance to the nearest background."""
        return ndimage.distance_transform_edt(self.liver, self.spacing_mm)

    def away_mm(self) -> np.ndarray:
        """Distance to the nearest liver."""
        return ndimage.distance_transform_edt(~self.liver, self.spacing_mm)

    def tissue(self) -> np.ndarray:
        return (self.hu > -50) & (self.hu < 200)

    def slices(self) -> np.ndarray:
        return np.flatnonzero(self.liver.any(axis=(1, 2)))

    def near_liver(self) -> np.ndarray:
        """Slices of the liver, without its ends."""
        z = self.slices()
        found = np.zeros(self.labels.shape, bool)
        found[z[2] : z[-2]] = True
        return found


def plain_scan() -> Scan:
    """An ellipse of fat and muscle with lungs, a liver on the right, and a tumour in it; drawn in milliseconds."""
    spacing_mm = (4.0, 3.0, 3.0)
    z, y, x = np.ix_(*((np.arange(n) - n / 2) * mm for n, mm in zip((44, 90, 124), spacing_mm, strict=True)))
    flat = np.zeros((44, 90, 124))
    body = (y / 120) ** 2 + (x / 165) ** 2
    near = ((z + 10) / 56) ** 2 + (y / 68) ** 2 + ((x + 62) / 72) ** 2
    liver = near < 1
    tumour = (z + 12) ** 2 + (y - 10) ** 2 + (x + 70) ** 2 < 17**2
    hu = np.where(body + flat < 1, np.where(body + flat < 0.8, 45.0, -100.0), -1000.0)
    hu[(body + 0.002 * np.clip(30 - z, 0, None) ** 2 < 0.72) & (z > 6)] = -850
    hu[(near < 1.3) & (body + flat < 0.8)] = -100
    hu[liver], hu[tumour] = 110, 60
    labels = liver.astype(np.uint8)
    labels[tumour] = 2
    noise = np.random.default_rng(0).normal(0, 12, hu.shape)
    return Scan(np.clip(hu + noise, -1024, 3071).astype(np.int16), labels, spacing_mm)


Fault = Callable[[Generator, Scan], None]


def part(rng: Generator, scan: Scan) -> None:
    """Another organ counts as liver: 8 to 14 mm of it, in radius."""
    centre = scan.place(rng, (scan.away_mm() > 25) & scan.tissue() & scan.near_liver())
    scan.labels[scan.ball(centre, rng.uniform(8, 14)) & ~scan.liver] = 1


def hole(rng: Generator, scan: Scan) -> None:
    centre = scan.place(rng, (scan.depth_mm() > 11) & scan.near_liver())
    scan.labels[scan.ball(centre, rng.uniform(4, 8))] = 0


def outside(rng: Generator, scan: Scan) -> None:
    centre = scan.place(rng, (scan.away_mm() > 20) & scan.tissue() & scan.near_liver())
    scan.labels[scan.ball(centre, rng.uniform(4, 9))] = 2


def speck(rng: Generator, scan: Scan) -> None:
    """Strokes of 1 to 4 voxels, of liver far from the liver or of tumour in it."""
    count = int(rng.integers(1, 5))
    if rng.uniform() < 0.5:
        z, y, x = scan.place(rng, (scan.away_mm() > 18) & scan.near_liver())
        scan.labels[z, y, x : x + count] = 1
    else:
        for _ in range(count):
            scan.labels[tuple(scan.place(rng, (scan.depth_mm() > 8) & (scan.labels == 1)))] = 2


def missing(rng: Generator, scan: Scan) -> None:
    """One to three slices without their liver, or one without a tumour."""
    z = scan.slices()
    tumours, count = ndimage.label(scan.labels == 2)
    boxes = [box[0] for box in ndimage.find_objects(tumours)]
    deep = [n for n in range(count) if boxes[n].stop - boxes[n].start >= 5]
    if deep and rng.uniform() < 0.5:
        n = deep[rng.integers(len(deep))]
        middle = (boxes[n].start + boxes[n].stop) // 2
        scan.labels[middle][tumours[middle] == n + 1] = 1
    else:
        first = int(rng.integers(z[3], z[-6]))
        scan.labels[first : first + int(rng.integers(1, 4))] = 0


def jump(rng: Generator, scan: Scan) -> None:
    """A third to a half of the liver is cut away: in one slice, in a third of the slices, or below a slice."""
    z, kind = scan.slices(), rng.integers(3)
    middle = int(rng.integers(z[len(z) // 4], z[len(z) // 2]))
    if kind == 2:
        scan.labels[: z[len(z) // 3]] = 0
        return
    last = middle + 1 if kind == 0 else middle + len(z) // 3
    columns = np.sort(np.nonzero(scan.liver[middle])[1])
    if rng.uniform() < 0.5:
        scan.labels[middle:last, :, : columns[int(len(columns) * rng.uniform(0.33, 0.5))]] = 0
    else:
        scan.labels[middle:last, :, columns[int(len(columns) * rng.uniform(0.5, 0.67))] :] = 0


def swapped(rng: Generator, scan: Scan) -> None:
    """The mask alone, or mask and scan, are mirrored."""
    scan.labels = scan.labels[:, :, ::-1].copy()
    if rng.uniform() < 0.5:
        scan.hu = scan.hu[:, :, ::-1].copy()


def shifted(rng: Generator, scan: Scan) -> None:
    """8 to 20 mm in plane, or one to three slices."""
    if rng.uniform() < 0.34:
        scan.labels = np.roll(scan.labels, int(rng.choice((-3, -2, -1, 1, 2, 3))), axis=0)
        return
    angle, by = rng.uniform(0, 2 * np.pi), rng.uniform(8, 20)
    steps = np.rint(np.array((np.sin(angle), np.cos(angle))) * by / scan.spacing_mm[1:]).astype(int)
    scan.labels = np.roll(scan.labels, tuple(steps.tolist()), axis=(1, 2))


def strange_hu(rng: Generator, scan: Scan) -> None:
    """HU without their offset, a slice's mask over lung or fat, or fat beside the liver that counts as tumour."""
    kind = rng.integers(3)
    if kind == 0:
        scan.hu = np.clip(scan.hu.astype(int) + 1024, *HU_RANGE).astype(np.int16)
    elif kind == 1:
        z = scan.slices()
        at = int(rng.integers(z[3], z[-3]))
        lung = (scan.hu[at] < -60) & (scan.hu[at] > -950)
        centre = scan.place(rng, lung)
        scan.labels[at] = 0
        scan.labels[at][scan.ball(np.array((at, *centre)), 30)[at] & lung] = 1
    else:
        fat = (scan.hu < -70) & (scan.hu > -140) & ~scan.liver & scan.near_liver()
        wide = ndimage.uniform_filter(fat.astype(np.float32), (1, 5, 5)) > 0.5
        centre = scan.place(rng, wide & fat & (scan.away_mm() < 4))
        around = (scan.hu < -60) & (scan.hu > -145) & ~scan.liver
        scan.labels[scan.ball(centre, 8) & around] = 2


def air_or_metal(rng: Generator, scan: Scan) -> None:
    """A tumour over lung at the liver's dome, gas or a clip that counts as tumour."""
    kind = rng.integers(3)
    if kind == 0:
        lung = (scan.hu < -500) & (scan.away_mm() < 12) & ~scan.liver
        body = scan.hu > -200
        inside = ndimage.binary_fill_holes(body[scan.slices()[-1]])
        centre = scan.place(rng, lung & inside)
        scan.labels[scan.ball(centre, 12) & (scan.away_mm() < 12) & ~scan.liver] = 2
    else:
        centre = scan.place(rng, (scan.depth_mm() > 9) & scan.near_liver())
        ball = scan.ball(centre, rng.uniform(4, 7))
        scan.labels[ball] = 2
        scan.hu[ball] = -600 if kind == 1 else 1800


FAULTS: dict[str, tuple[Fault, tuple[str, ...]]] = {  # the fault, and the kinds of finding that name it
    "liver in several parts": (part, ("liver_parts",)),
    "hole": (hole, ("holes",)),
    "tumour outside the liver": (outside, ("tumour_outside_liver",)),
    "specks": (speck, ("specks",)),
    "missing slices": (missing, ("missing_slices",)),
    "jump in area": (jump, ("area_jumps",)),
    "swapped": (swapped, ("liver_swapped",)),
    "shifted": (shifted, ("mask_shifted",)),
    "HU that no liver or tumour has": (strange_hu, ("liver_hu", "tumour_hu")),
    "air or metal": (air_or_metal, ("tumour_air_or_metal",)),
}


class MemoryStore(Store):
    """A store whose cases are arrays in memory."""

    def __init__(self, scans: dict[str, Scan]) -> None:
        super().__init__(Path("memory"), {name: record_of(name, scan) for name, scan in scans.items()})
        object.__setattr__(self, "scans", scans)

    def read(self, name: str, kind: str, z: int) -> np.ndarray:
        return getattr(self.scans[name], kind)[z]  # type: ignore[attr-defined]


def record_of(name: str, scan: Scan) -> CaseRecord:
    return CaseRecord(
        name=name,
        patient=name,
        volume="",
        labels="",
        shape=scan.labels.shape,
        spacing_mm=scan.spacing_mm,
        native_shape=scan.labels.shape,
        native_spacing_mm=scan.spacing_mm,
        affine=np.diag((-1.0, -1.0, 1.0, 1.0)).tolist(),
        liver_pixels=(scan.labels > 0).sum(axis=(1, 2)).tolist(),
        tumour_pixels=(scan.labels == 2).sum(axis=(1, 2)).tolist(),
        has_tumour=bool((scan.labels == 2).any()),
        hu_counts=np.sum([hu_histogram(plane) for plane in scan.hu], axis=0).tolist(),
        fingerprint={},
    )
