"""In-plane resampling of slices: both grids span the same field of view, slices along z are kept."""

import cv2
import numpy as np
from jaxtyping import Int16, UInt8

from lightning_liver.errors import LiverError
from lightning_liver.imageio.limits import MOST_PIXELS


def grid_shape(
    shape: tuple[int, int, int], spacing_mm: tuple[float, float, float], target_mm: float | None
) -> tuple[int, int, int]:
    """Return the shape (z, y, x) of the grid with in-plane spacing nearest to `target_mm`; None keeps the grid.

    Raises:
        LiverError: slices of more pixels than are read.
    """
    if target_mm is None:
        return shape
    height, width = (max(1, round(n * s / target_mm)) for n, s in zip(shape[1:], spacing_mm[1:], strict=True))
    if height * width > MOST_PIXELS:
        field = " x ".join(f"{n * s:g}" for n, s in zip(shape[1:], spacing_mm[1:], strict=True))
        raise LiverError(
            f"data.spacing_mm={target_mm:g}: expected slices of at most {MOST_PIXELS:,} pixels, a field of view of "
            f"{field} mm has {height} x {width}; correct the spacing in the scan's header, or choose a larger one"
        )
    return (shape[0], height, width)


def resample_hu(image: Int16[np.ndarray, "y x"], shape: tuple[int, int]) -> Int16[np.ndarray, "y2 x2"]:
    """Resample HU: average over the area when shrinking, interpolate linearly when enlarging, round."""
    if image.shape == shape:
        return image
    resized = _resize(image.astype(np.float32), shape)
    return np.rint(resized).astype(np.int16)


def resample_labels(labels: UInt8[np.ndarray, "y x"], shape: tuple[int, int]) -> UInt8[np.ndarray, "y2 x2"]:
    """Resample labels: a pixel belongs to a structure if at least half of it does; tumour stays inside the liver."""
    if labels.shape == shape:
        return labels
    if not labels.any():
        return np.zeros(shape, np.uint8)
    liver, tumour = (_resize((labels >= value).astype(np.float32), shape) >= 0.5 for value in (1, 2))
    return liver.astype(np.uint8) + (liver & tumour)


def _resize(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    shrinks = shape[0] * shape[1] < image.shape[0] * image.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(image, (shape[1], shape[0]), interpolation=method)
