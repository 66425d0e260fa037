"""Published Dice for reference, each with its source; none is comparable with scores of this package."""

from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

NOT_COMPARABLE = "not comparable"
REASON = (
    "another data set, other patients: published figures are mostly of LiTS's hidden test set, whose masks only the "
    "challenge has; Kaggle's LiTS scans are its training set"
)

_LITS = "best of the challenge, 70 hidden test scans"
_PER_CASE = "per case, LiTS test set"
_DETECTED = "detected tumours only, LiTS training scans"
_BILIC = "arXiv:1901.04056"
_MA = "github.com/JunMa11/SOTA-MedSeg"
_CHLEBUS = "doi:10.1038/s41598-018-33860-7"
_CHLEBUS_MR = "doi:10.1371/journal.pone.0217228"


class Position(Enum):
    """Position of a run's interval among published results."""

    BELOW = "No, not by these figures: the whole interval lies below all of them."
    ABOVE = "Yes by these figures, were they of the same scans: the whole interval lies above all of them."
    ABOVE_SOME = "In part: the whole interval lies above some of these figures, not above all."
    WITHIN = "The data cannot tell: the interval holds some of these figures and lies above none."
    UNKNOWN = "The data cannot tell: it takes three patients or more for an interval."


class Reference(NamedTuple):
    """A published Dice, with the digits of its source."""

    label: str
    dice: float
    of: str
    source: str
    is_human: bool = False


_REFERENCES = {
    "tumour": (
        Reference("best of LiTS, ISBI 2017", 0.674, _LITS, _BILIC),
        Reference("CNN, Chlebus 2018", 0.69, _DETECTED, _CHLEBUS),
        Reference("best of LiTS, MICCAI 2017", 0.702, _LITS, _BILIC),
        Reference("human, Chlebus 2018", 0.72, _DETECTED, _CHLEBUS, is_human=True),
        Reference("H-DenseUNet", 0.722, _PER_CASE, _MA),
        Reference("best of LiTS, MICCAI 2018", 0.739, _LITS, _BILIC),
        Reference("nnU-Net", 0.763, _PER_CASE, _MA),
    ),
    "liver": (
        Reference("human on MR, Chlebus 2019", 0.95, "routine against careful contours", _CHLEBUS_MR, is_human=True),
        Reference("H-DenseUNet", 0.961, _PER_CASE, _MA),
        Reference("best of LiTS, 2017 and 2018", 0.963, _LITS, _BILIC),
        Reference("nnU-Net", 0.967, _PER_CASE, _MA),
    ),
}


def references(structure: str) -> tuple[Reference, ...]:
    """Return the published results of a structure, the lowest first."""
    return _REFERENCES.get(structure, ())


def line_label(reference: Reference) -> str:
    """Return the label of a reference's line in a figure."""
    return f"{reference.label} {reference.dice} ({NOT_COMPARABLE})"


def position(low: float | None, high: float | None, known: Sequence[Reference]) -> Position:
    """Return where an interval lies among published results; UNKNOWN without an interval."""
    if low is None or high is None or not known:
        return Position.UNKNOWN
    if all(high < each.dice for each in known):
        return Position.BELOW
    if all(low > each.dice for each in known):
        return Position.ABOVE
    return Position.ABOVE_SOME if any(low > each.dice for each in known) else Position.WITHIN
