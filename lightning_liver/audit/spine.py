"""Descriptor of a scan: its spine, straightened, as bone that changes along it.

The spine is what two scans of one patient share best: it is rigid, contrast medium does not change it, and breathing hardly
moves it. Straightening it removes the position on the table and its bending. What all people share, a body and an arch in
every slice, is removed too, so that the forms of single vertebrae and ribs remain.
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
_TRACK_HU = (150.0, 300.0)  # without most vessels
_TRACK_SIGMA = (5.0, 12.0)  # pixels: a vertebra stands out from its surroundings
_PERSISTENT = 30  # percentile over levels: bowel with contrast medium is bright in some levels only
_REACH = 8.0  # pixels, standard deviation of a vertebra's place about the mean of all
_OUTLIER = 1.5  # pixels, of a level from the curve through all
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
    return Spine(_patches(volume, track), (track + (BEHIND, 0)) * GRID_MM)


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
    """Return where the spine is in each level (y, x), in pixels: a smooth curve through what is bright in all levels."""
    low, high = _TRACK_HU
    bone = np.stack([_blob(level) for level in np.clip(volume, low, high) - low])
    lasting = np.percentile(bone, _PERSISTENT, axis=0)
    centre = np.unravel_index(int(lasting.argmax()), lasting.shape)
    y, x = np.ogrid[: volume.shape[1], : volume.shape[2]]
    near = np.exp(-((y - centre[0]) ** 2 + (x - centre[1]) ** 2) / (2 * _REACH**2)).astype(np.float32)
    bone = np.maximum(bone, 0) * near
    places = np.array([np.unravel_index(int(level.argmax()), level.shape) for level in bone], np.float64)
    return np.stack([_smooth_curve(places[:, axis], bone.max((1, 2)) + 1e-3) for axis in (0, 1)], 1)


def _blob(bone: Float32[np.ndarray, "y x"]) -> Float32[np.ndarray, "y x"]:
    fine, wide = (cv2.GaussianBlur(bone, (0, 0), sigma) for sigma in _TRACK_SIGMA)
    return fine - wide


def _smooth_curve(places: Float64[np.ndarray, " z"], weight: Float32[np.ndarray, " z"]) -> Float64[np.ndarray, " z"]:
    """Fit a cubic along z by iteratively reweighted least squares, so that outliers do not bend it."""
    along = np.linspace(-1, 1, len(places))
    curve, weights = places, weight.astype(np.float64)
    for _ in range(8):
        curve = np.polynomial.Polynomial.fit(along, places, min(3, len(places) - 1), w=weights, domain=[-1, 1])(along)
        weights = weight / (1 + ((places - curve) / _OUTLIER) ** 2)
    return np.asarray(curve)


def _patches(volume: Float32[np.ndarray, "z y x"], track: Float64[np.ndarray, "z 2"]) -> Int8[np.ndarray, "z y x"]:
    bone = np.clip(volume, *BONE_HU) - BONE_HU[0]
    size = PATCH[::-1]
    cut = [cv2.getRectSubPix(level, size, (x, y + BEHIND)) for level, (y, x) in zip(bone, track.tolist(), strict=True)]
    straight = gaussian_filter1d(np.stack(cut), _LEVEL_SIGMA, axis=0, mode="nearest")
    varying = straight - gaussian_filter1d(straight, _VERTEBRAE_SIGMA, axis=0, mode="nearest")
    return np.clip(np.rint(varying / _STEP), -127, 127).astype(np.int8)
