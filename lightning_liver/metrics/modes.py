"""The two modes of scoring, and their rules for empty masks, which evaluation/README.md lists.

`official` reproduces the scorer of the LiTS challenge (PatrickChrist/lits-challenge-scoring) to the three decimals that
it prints, for every figure that it prints. `corrected` computes the same with the usual signs, counts lesions as the
fork veugene/lits-challenge-scoring does, and has None where a figure is undefined.
"""

from collections.abc import Callable
from dataclasses import dataclass

from lightning_liver.errors import LiverError
from lightning_liver.metrics import lesion_matching, voxel_counts
from lightning_liver.metrics.voxel_counts import Voxels

PENALTY = 9001.0  # the official scorer's value of an undefined distance


@dataclass(frozen=True)
class Mode:
    """Rules of scoring.

    Args:
        name: official or corrected.
        match: counts lesions.
        rvd: relative volume difference.
        penalty: value of an undefined metric of a liver or of detected lesions in a mean; None leaves it out.
        is_official: True if the other rules of the first column hold.
    """

    name: str
    match: lesion_matching.Match
    rvd: Callable[[Voxels], float | None]
    penalty: float | None
    is_official: bool


MODES = {
    "official": Mode("official", lesion_matching.official, voxel_counts.swapped_rvd, PENALTY, True),
    "corrected": Mode("corrected", lesion_matching.corrected, voxel_counts.rvd, None, False),
}


def mode_of(name: str) -> Mode:
    """Return the mode of this name.

    Raises:
        LiverError: an unknown mode.
    """
    if name not in MODES:
        raise LiverError(f"mode={name!r}: expected one of {', '.join(MODES)}")
    return MODES[name]
