"""The two ways of scoring, and what each says of an empty mask.

`official` is the scorer of the LiTS challenge (PatrickChrist/lits-challenge-scoring), to the three decimals that it
prints, wherever it prints a figure. `corrected` measures the same with the usual signs, counts lesions as the fork
veugene/lits-challenge-scoring does, and leaves undefined what is.

|                                | official                                     | corrected                  |
|--------------------------------|----------------------------------------------|----------------------------|
| truth and prediction empty     | liver: Dice 0, VOE 1; tumour: Dice 1, VOE 0  | Dice 1, VOE 0, RVD None    |
| truth empty                    | Dice 0, VOE 1, RVD None                      | Dice 0, VOE 1, RVD None    |
| prediction empty               | Dice 0, VOE 1, RVD None                      | Dice 0, VOE 1, RVD -1      |
| a liver without label 1        | is an empty liver                            | is a liver of tumour       |
| distances from or to nothing   | None                                         | None                       |
| their mean over livers         | None counts as 9001 (also of RVD)            | over those that have one   |
| RVD                            | (true - predicted) / predicted               | (predicted - true) / true  |
| lesions                        | lesion_matching.official                     | lesion_matching.corrected  |
| no lesion to find, or found    | recall, precision 0                          | None                       |
| no lesion detected             | lesion Dice 0, VOE 1, RVD and distances 9001 | None                       |
| Dice global, nothing anywhere  | 0                                            | 1                          |
| tumour burden of no liver      | 9001 predicted, None if true (left out)      | 0                          |
| its maximum                    | of true - predicted, signed                  | of the absolute difference |

None is an empty cell in a table and null in metrics.json. The official scorer does not score the tumour of a case as a
whole by anything but Dice: its other figures of a case are by the rules of `corrected`, but for the sign of RVD.
"""

from collections.abc import Callable
from dataclasses import dataclass

from lightning_liver.errors import LiverError
from lightning_liver.metrics import lesion_matching, voxel_counts
from lightning_liver.metrics.voxel_counts import Voxels

PENALTY = 9001.0  # what the official scorer puts in the place of an undefined distance


@dataclass(frozen=True)
class Mode:
    """A way of scoring.

    Args:
        name: official or corrected.
        match: how lesions are counted.
        rvd: relative volume difference.
        penalty: what a mean takes for an undefined figure of a liver or of detected lesions; None leaves it out.
        is_official: whether the other rules of the first column hold.
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
    """The mode of this name.

    Raises:
        LiverError: there is none.
    """
    if name not in MODES:
        raise LiverError(f"mode is {name!r}; it is one of {', '.join(MODES)}")
    return MODES[name]
