"""The two modes of scoring, and their rules for empty masks.

`official` reproduces the scorer of the LiTS challenge (PatrickChrist/lits-challenge-scoring) to the three decimals that
it prints, for every figure that it prints. `corrected` computes the same with the usual signs, counts lesions as the
fork veugene/lits-challenge-scoring does, and has None where a figure is undefined.

|                                | official                                     | corrected                  |
|--------------------------------|----------------------------------------------|----------------------------|
| truth and prediction empty     | liver: Dice 0, VOE 1; tumour: Dice 1, VOE 0  | Dice 1, VOE 0, RVD None    |
| truth empty                    | Dice 0, VOE 1, RVD None                      | Dice 0, VOE 1, RVD None    |
| prediction empty               | Dice 0, VOE 1, RVD None                      | Dice 0, VOE 1, RVD -1      |
| a liver without label 1        | is an empty liver                            | is a liver of tumour       |
| distances to an empty mask     | None                                         | None                       |
| their mean over livers         | None counts as 9001 (also of RVD)            | over those that have one   |
| RVD                            | (true - predicted) / predicted               | (predicted - true) / true  |
| lesions                        | lesion_matching.official                     | lesion_matching.corrected  |
| no lesion to find, or found    | recall, precision 0                          | None                       |
| no lesion detected             | lesion Dice 0, VOE 1, RVD and distances 9001 | None                       |
| Dice global, all masks empty   | 0                                            | 1                          |
| tumour burden without liver    | 9001 predicted, None if true (left out)      | 0                          |
| its maximum                    | of true - predicted, signed                  | of the absolute difference |

None is an empty cell in a table and null in metrics.json. The official scorer scores the tumour of a whole case by Dice
alone; its other metrics follow the rules of `corrected`, except for the sign of RVD.
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
