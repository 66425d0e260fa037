"""Finding of an audit: what is wrong or worth a look in a data set, where, and how certain."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import UInt8

Severity = Literal["fix", "look"]
Draw = Callable[[], UInt8[np.ndarray, "y x rgb"]]


@dataclass(frozen=True)
class Finding:
    """Something in a data set that must be fixed before training, or that is worth a look.

    Args:
        kind: value in the column `kind` of audit.csv, such as same_scan, leak or tumour_outside_liver.
        severity: fix, if training or a score would be wrong with it; look, if an expert should decide.
        cases: names of the cases, one or two.
        text: a sentence with what was seen, in millimetres, HU or voxels.
        score: certainty or size, larger is worse; findings are ranked by it within a kind.
        z: slice to look at in the first case, from 0 at the feet; None is the whole scan.
        draw: returns the picture; None without one.
    """

    kind: str
    severity: Severity
    cases: tuple[str, ...]
    text: str
    score: float
    z: int | None = None
    draw: Draw | None = field(default=None, compare=False)
