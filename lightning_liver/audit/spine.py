"""Descriptor of a scan: its spine, straightened, as bone that changes along it.

The spine is what two scans of one patient share best: it is rigid, contrast medium does not change it, and breathing
hardly moves it. Straightening it removes the position on the table and its bending. What all people share, a body and
an arch in every slice, is removed too, so that the forms of single vertebrae and ribs remain.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float32, Float64, Int8
from scipy.ndimage import gaussian_filter1d

from lightning_liver.data.store import Store

GRID_MM = 3.0  # of levels along the spine and of pixels of a patch
PATCH = (40, 48)  # rows, columns: 120 mm by 144 mm
BEHIND = 4  # pixels that a patch reaches further to the back than to the front
BONE_HU = (100.0, 240.0)  # darker is no bone; brighter is cut, as windows cut it
_TRACK_HU = (150.0, 200.0)  # without most vessels, and no higher than windows reach
_TRACK_SIGMA = (5.0, 12.0)  # pixels: a vertebra stands out from its surroundings
_PERSISTENT = 30  # percentile over levels: bowel with contrast medium is bright in some levels only
_REACH = 8.0  # pixels, standard deviation of a vertebra's place about the mean of all
_ASIDE = 13.0  # pixels, standard deviation of the spine's place about the middle of the body
_SOFT_HU = -50.0  # body without fat, since windows may cut fat and air alike
_TRACK_LEVELS = 3.0  # levels over which bone is smoothed to find it
_CURVE_LEVELS = 9.0  # levels over which the curve through the spine is straight
_RIDGE = 1e-3  # levels squared
_OUTLIER = 1.5  # pixels, of a level from the curve
_LEVEL_SIGMA = 1.0  # levels, so that thin and thick slices look alike
_VERTEBRAE_SIGMA = 10.0  # levels: 30 mm, a vertebra with its disc
_STEP = 0.75  # bone per unit of int8


@dataclass(frozen=True)
class Spine:
    """A straightened spine.

    Args:
        patches: difference of bone (HU, cut to BONE_HU) from that of the neighbouring vertebrae, in steps of _STEP.
        centre_mm: place of each patch's centre in the prepared scan, (y, x) from the centre of its first pixel.
    """

    patches: Int8[np.ndarray, "z y x"]
    centre_mm: Float64[np.ndarray, "z 2"]


def read_spine(store: Store, name: str) -> Spine:
    """Read all slices of a case once, and find and straighten its spine.

    Raises:
        LiverError: the case is damaged.
    """
    volume = _reduced(store, name)
    track = _track(volume)
    return Spine(_patches(volume, track), (track + np.array([BEHIND, 0.0])) * GRID_MM)


def _reduced(store: Store, name: str) -> Float32[np.ndarray, "z y x"]:
    """Return HU on a grid of GRID_MM, each level a mean of the slices near it, thick slices interpolated."""
    record = store.cases[name]
    (depth, height, width), (z_mm, y_mm, x_mm) = record.shape, record.spacing_mm
    levels = int((depth - 1) * z_mm // GRID_MM) + 1
    size = (max(1, round(width * x_mm / GRID_MM)), max(1, round(height * y_mm / GRID_MM)))
    volume = np.zeros((levels, size[1], size[0]), np.float32)
    total = np.zeros((levels, 1, 1), np.float32)
    reach = max(GRID_MM, z_mm)
    for z in range(depth):
        parts = 1 - np.abs(np.arange(levels) * GRID_MM - z * z_mm) / reach
        near = np.flatnonzero(parts > 0)
        if near.size == 0:
            continue
        hu = np.clip(store.read(name, "hu", z), -160, _TRACK_HU[1]).astype(np.float32)
        small = cv2.resize(hu, size, interpolation=cv2.INTER_AREA)
        for level in near:
            volume[level] += np.float32(parts[level]) * small
        total[near] += parts[near, None, None].astype(np.float32)
    return volume / total


def _track(volume: Float32[np.ndarray, "z y x"]) -> Float64[np.ndarray, "z 2"]:
    """Return where the spine is in each level (y, x), in pixels: a smooth curve through bone that lasts."""
    low, high = _TRACK_HU
    bone = np.stack([_blob(level) for level in np.clip(volume, low, high) - low])
    centre = _middle(bone, (volume > _SOFT_HU).mean((0, 1)), (volume > _SOFT_HU).mean((0, 2)))
    y, x = np.ogrid[: volume.shape[1], : volume.shape[2]]
    near = np.exp(-((y - centre[0]) ** 2 + (x - centre[1]) ** 2) / (2 * _REACH**2)).astype(np.float32)
    bone = gaussian_filter1d(np.maximum(bone, 0) * near, _TRACK_LEVELS, axis=0, mode="nearest")
    places = np.array([np.unravel_index(int(level.argmax()), level.shape) for level in bone], np.float64)
    return np.stack([_smooth_curve(places[:, axis], bone.max((1, 2)) + 1e-3) for axis in (0, 1)], 1)


def _blob(bone: Float32[np.ndarray, "y x"]) -> Float32[np.ndarray, "y x"]:
    fine, wide = (cv2.GaussianBlur(bone, (0, 0), sigma) for sigma in _TRACK_SIGMA)
    return fine - wide


def _middle(
    bone: Float32[np.ndarray, "z y x"], across: Float64[np.ndarray, " x"], along: Float64[np.ndarray, " y"]
) -> tuple[int, int]:
    """Return where bone (y, x) lasts through the levels, in the back half of the body and near its middle.

    Args:
        across, along: fraction of soft tissue in each column and row.
    """
    lasting = np.maximum(np.percentile(bone, _PERSISTENT, axis=0), 0)
    y, x = np.ogrid[: bone.shape[1], : bone.shape[2]]
    half_y, half_x = (np.searchsorted(np.cumsum(part), part.sum() / 2) for part in (along, across))
    likely = lasting * (y > half_y) * np.exp(-((x - half_x) ** 2) / (2 * _ASIDE**2))
    row, column = np.unravel_index(int(likely.argmax()), likely.shape)
    return int(row), int(column)


def _smooth_curve(places: Float64[np.ndarray, " z"], weight: Float32[np.ndarray, " z"]) -> Float64[np.ndarray, " z"]:
    """Fit a line about each level, by iteratively reweighted least squares, so that outliers do not bend the curve.

    A line, not a mean, so that the curve goes on straight at the ends, and a part of a scan has the curve of the whole.
    """
    level = np.arange(len(places), dtype=np.float64)
    apart = level[None] - level[:, None]
    near = np.exp(-(apart**2) / (2 * _CURVE_LEVELS**2))
    weights = weight.astype(np.float64)
    curve = places
    for _ in range(5):
        mass, first, second = ((near * weights * apart**power).sum(1) for power in range(3))
        value, moment = ((near * weights * apart**power * places).sum(1) for power in range(2))
        second = second + _RIDGE * mass  # a single level has no slope
        curve = (second * value - first * moment) / (second * mass - first**2)
        weights = weight / (1 + ((places - curve) / _OUTLIER) ** 2)
    return np.asarray(curve)


def _patches(
    volume: Float32[np.ndarray, "z y x"], track: Float64[np.ndarray, "z 2"]
) -> Int8[np.ndarray, "z row column"]:
    bone = np.clip(volume, *BONE_HU) - BONE_HU[0]
    size = PATCH[::-1]
    cut = [cv2.getRectSubPix(level, size, (x, y + BEHIND)) for level, (y, x) in zip(bone, track.tolist(), strict=True)]
    straight = gaussian_filter1d(np.stack(cut), _LEVEL_SIGMA, axis=0, mode="nearest")
    varying = straight - gaussian_filter1d(straight, _VERTEBRAE_SIGMA, axis=0, mode="nearest")
    return np.clip(np.rint(varying / _STEP), -127, 127).astype(np.int8)
