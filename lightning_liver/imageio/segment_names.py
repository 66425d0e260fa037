"""Recognise the segments of an edited mask by the names and codes that editors give them."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

from lightning_liver.errors import LiverError
from lightning_liver.volume import LABELS

_LIVER, _TUMOUR = LABELS["liver"], LABELS["tumour"]
_TUMOUR_WORDS = {
    *("tumour", "tumor", "lesion", "cancer", "neoplasm", "hcc", "metastasis"),
    *("tumours", "tumors", "lesions", "cancers", "neoplasms", "hccs", "metastases"),
}
_BESIDE_LIVER = {
    "segment",
    "segmentation",
    "label",
    "mask",
    "organ",
    "whole",
    "parenchyma",
}  # a liver vessel is no liver
_NEGATIONS = {"no", "non", "not", "without", "free", "minus", "excluding", "except", "outside"}
_NUMBERED = re.compile(r"(?:segment|label)?[ _-]*(\d{1,9})", re.IGNORECASE)
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")  # in LiverTumour
_WORD = re.compile(r"[^\W\d_]+")


class Segment(NamedTuple):
    """A segment of a file: its name, and the label that a code gives it, if any."""

    name: str
    coded: int | None = None


def labels_of(path: Path, segments: Sequence[Segment]) -> list[int | None]:
    """Return the label of each segment of a file, by its code, else by its name; None for another structure.

    A name with a word for tumours is a tumour's. A name without one is the liver's if it is "liver" but for words such
    as "mask". Where no segment is known by these, names that stand for numbers, as in "Segment_1", give the label.

    Args:
        path: the file, for messages.

    Raises:
        LiverError: a code and a name that contradict each other.
    """
    found = [_label(path, segment) for segment in segments]
    if any(label is not None for label in found):
        return found
    return [_number(segment.name) for segment in segments]


def refuse_segment(path: Path, name: str) -> NoReturn:
    """Refuse a segment that has voxels and is neither liver nor tumour."""
    raise LiverError(
        f"{path}: segment {name!r} is expected to be liver or tumour; rename it to liver or tumour, or remove it"
    )


def _label(path: Path, segment: Segment) -> int | None:
    named = _named(segment.name)
    if segment.coded is None:
        return named
    if named not in (None, segment.coded):
        one, other = (next(name for name, label in LABELS.items() if label == each) for each in (segment.coded, named))
        raise LiverError(
            f"{path}: segment {segment.name!r} is {one} by its code and {other} by its name; correct one of the two"
        )
    return segment.coded


def _named(name: str) -> int | None:
    words = {word.lower() for word in _WORD.findall(_HUMP.sub(" ", name))}
    if words & _TUMOUR_WORDS:
        return None if words & _NEGATIONS else _TUMOUR
    return _LIVER if "liver" in words and words <= {"liver"} | _BESIDE_LIVER else None


def _number(name: str) -> int | None:
    match = _NUMBERED.fullmatch(name.strip())
    number = int(match[1]) if match else 0
    return number if number in (_LIVER, _TUMOUR) else None
