"""Picture of a pair: slices of the first scan above the same places of the second."""

import numpy as np
from jaxtyping import Float32, UInt8

from lightning_liver.audit.alignment import Alignment
from lightning_liver.audit.same_scan import WINDOW_HU, SpineScan, common_levels, square
from lightning_liver.audit.spine import GRID_MM

_COLUMNS = 4
_SIDE = 176  # pixels of 2 mm
_FORWARD = 24.0  # pixels of GRID_MM from the spine to the middle of the body
_GAP = 4  # pixels between slices


def draw_pair(first: SpineScan, second: SpineScan, alignment: Alignment) -> UInt8[np.ndarray, "y x rgb"]:
    """Return slices from the feet to the head, the first scan's above, the second's, aligned and mirrored, below."""
    levels = common_levels(first, second, alignment, _COLUMNS)
    places = alignment.level(levels)
    matrix = alignment.matrix()
    ahead = np.array([0.0, -_FORWARD])
    offset = matrix @ (ahead - (alignment.right, alignment.down))
    rows = [
        [square(first, float(z) * GRID_MM, np.eye(2), ahead, side=_SIDE) for z in levels],
        [square(second, float(z) * GRID_MM, matrix, offset, side=_SIDE) for z in places],
    ]
    grey = np.vstack([np.hstack([np.pad(_grey(hu), _GAP // 2) for hu in row]) for row in rows])
    return np.repeat(grey[:, :, None], 3, axis=2)


def _grey(hu: Float32[np.ndarray, "y x"]) -> UInt8[np.ndarray, "y x"]:
    low, high = WINDOW_HU
    return np.asarray((hu - low) / (high - low) * 255, np.uint8)
