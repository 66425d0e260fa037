"""Where a scan shows no liver the network need not look: a coarse pass over slices tells where that is."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool


def coarse_places(count: int, spacing_mm: float, step_mm: float) -> list[int]:
    """Slices no further apart than a step, the first and the last among them; all where slices are that far apart.

    Args:
        count: slices of the scan, spacing_mm apart.
    """
    step = max(1, int(step_mm / spacing_mm))
    return sorted({*range(0, count, step), count - 1})


def places_between(places: Sequence[int], found: Bool[np.ndarray, " place"]) -> list[int]:
    """Slices between two neighbouring places, of which one or both show something.

    So only what is thinner than a step, and shows at no place, can be missed.
    """
    neighbours = zip(places, places[1:], found, found[1:], strict=False)
    return [z for low, high, below, above in neighbours if below or above for z in range(low + 1, high)]
