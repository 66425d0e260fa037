"""Coarse pass over the slices of a scan, so that the network skips those far from the liver."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, UInt8

SPECK_MM2 = 100.0  # of liver in a slice: less is taken for a false positive


def coarse_places(count: int, spacing_mm: float, step_mm: float) -> list[int]:
    """Return slices at most a step apart, with the first and the last; all if the spacing exceeds the step.

    Args:
        count: slices of the scan, spacing_mm apart.
    """
    step = max(1, int(step_mm / spacing_mm))
    return sorted({*range(0, count, step), count - 1})


def shows_liver(labels: UInt8[np.ndarray, "y x"], spacing_mm: tuple[float, float, float]) -> bool:
    """Return True if a slice has at least SPECK_MM2 of liver, tumours included."""
    return bool(np.count_nonzero(labels) * spacing_mm[1] * spacing_mm[2] >= SPECK_MM2)


def places_between(places: Sequence[int], found: Bool[np.ndarray, " place"]) -> list[int]:
    """Return the slices between two neighbouring places of which one or both show liver.

    Only a liver thinner than a step, and seen at no place, can be missed.
    """
    neighbours = zip(places, places[1:], found, found[1:], strict=False)
    return [z for low, high, below, above in neighbours if below or above for z in range(low + 1, high)]
