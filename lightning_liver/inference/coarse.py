"""Where a scan shows no liver the network need not look: a coarse pass over slices tells where that is."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, UInt8

SPECK_MM2 = 100.0  # of liver in a slice: less is no sign of a liver, but of a network that is unsure


def coarse_places(count: int, spacing_mm: float, step_mm: float) -> list[int]:
    """Slices no further apart than a step, the first and the last among them; all where slices are that far apart.

    Args:
        count: slices of the scan, spacing_mm apart.
    """
    step = max(1, int(step_mm / spacing_mm))
    return sorted({*range(0, count, step), count - 1})


def shows_liver(labels: UInt8[np.ndarray, "y x"], spacing_mm: tuple[float, float, float]) -> bool:
    """Whether a slice, tumours included, has more than a speck of liver."""
    return bool(np.count_nonzero(labels) * spacing_mm[1] * spacing_mm[2] >= SPECK_MM2)


def places_between(places: Sequence[int], found: Bool[np.ndarray, " place"]) -> list[int]:
    """Slices between two neighbouring places, of which one or both show liver.

    So only what is thinner than a step, and shows at no place, can be missed.
    """
    neighbours = zip(places, places[1:], found, found[1:], strict=False)
    return [z for low, high, below, above in neighbours if below or above for z in range(low + 1, high)]
