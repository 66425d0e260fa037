"""What turns probabilities into the labels of a case: thresholds, then post-processing; and what validation says of it.

It is kept in decision.json of a run folder.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from lightning_liver.errors import LiverError
from lightning_liver.files import write_whole
from lightning_liver.inference.postprocess import PostProcess
from lightning_liver.inference.thresholds import HALF, Thresholds
from lightning_liver.types import STRUCTURES

FILE = "decision.json"


class Gain(TypedDict):
    what: str
    liver: float
    tumour: float


class Kept(TypedDict):
    """decision.json.

    Args:
        thresholds: with which the test cases were labelled.
        tuned: the best on validation cases.
        validation: mean Dice of validation cases with one thing changed at a time.
    """

    thresholds: dict[str, float]
    tuned: dict[str, float]
    validation: list[Gain]


def write_decision(folder: Path, used: Thresholds, tuned: Thresholds, gains: Sequence[Gain]) -> None:
    kept: Kept = {
        "thresholds": dict(zip(STRUCTURES, used, strict=True)),
        "tuned": dict(zip(STRUCTURES, tuned, strict=True)),
        "validation": list(gains),
    }
    write_whole(folder / FILE, json.dumps(kept, indent=1) + "\n")


def read_decision(folder: Path) -> Kept | None:
    """What a run folder keeps; None where it has none, as folders of earlier versions.

    Raises:
        LiverError: the file is not what was written.
    """
    path = folder / FILE
    if not path.exists():
        return None
    try:
        kept: Kept = TypeAdapter(Kept).validate_json(path.read_bytes())
        for of in ("thresholds", "tuned"):
            for structure in STRUCTURES:
                _threshold(f"{of}.{structure}", kept[of][structure])  # type: ignore[literal-required]
    except (ValidationError, KeyError) as error:
        raise LiverError(f"{path} is damaged ({error}): delete it, and the thresholds are one half") from error
    return kept


def thresholds_of(given: Any, run: Path | None) -> Thresholds:
    """Thresholds from `inference.thresholds`: null is one half, "tuned" what the run's validation found.

    Args:
        run: a folder with decision.json; None where nothing was tuned yet.

    Raises:
        LiverError: neither of these nor two probabilities, or nothing was tuned.
    """
    if given is None:
        return HALF
    if given == "tuned":
        kept = read_decision(run) if run is not None else None
        if kept is None:
            raise LiverError(f"inference.thresholds=tuned: {run} has no {FILE}, its thresholds were never tuned")
        return (kept["tuned"]["liver"], kept["tuned"]["tumour"])
    if not isinstance(given, Sequence) or isinstance(given, str) or len(given) != len(STRUCTURES):
        raise LiverError(f"inference.thresholds={given!r}: null, tuned, or two probabilities as in [0.5,0.3]")
    liver, tumour = (_threshold("inference.thresholds", value) for value in given)
    return (liver, tumour)


def post_process_of(given: Mapping[str, Any] | None) -> PostProcess:
    """The steps of `inference.postprocess`, whose options are null where they are off.

    Raises:
        LiverError: an option is unknown or out of range.
    """
    on = {name: value for name, value in (given or {}).items() if value is not None}
    if unknown := sorted(on.keys() - PostProcess.__dataclass_fields__.keys()):
        raise LiverError(f"inference.postprocess.{unknown[0]}: there is {', '.join(PostProcess.__dataclass_fields__)}")
    try:
        return PostProcess(**on)
    except ValidationError as error:
        fault = error.errors()[0]
        raise LiverError(f"inference.postprocess.{fault['loc'][0]}={fault['input']!r}: {fault['msg']}") from error


def _threshold(option: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, float | int) or not 0 < value < 1:
        raise LiverError(f"{option}: {value!r} is no probability between 0 and 1")
    return float(value)
