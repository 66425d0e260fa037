"""Thresholds and post-processing that turn probabilities into labels, and decision.json with the tuned ones."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from lightning_liver.errors import LiverError, explain
from lightning_liver.files import write_whole
from lightning_liver.inference.postprocess import PostProcess
from lightning_liver.inference.thresholds import HALF, Thresholds
from lightning_liver.readers import read_json
from lightning_liver.run_folder import NAMES, RunFolder
from lightning_liver.types import STRUCTURES
from lightning_liver.types.options import Probability, check


def _by_name(steps: Any) -> Any:
    if not isinstance(steps, Mapping):
        raise ValueError(
            "expected steps, as in inference.postprocess.largest_liver=true, of "
            f"{', '.join(PostProcess.__dataclass_fields__)}"
        )
    return steps


_Steps = Annotated[dict[str, Any], BeforeValidator(_by_name)]


class Gain(TypedDict):
    what: str
    liver: float
    tumour: float


class Decision(TypedDict):
    """Contents of decision.json.

    Args:
        thresholds: applied to the test cases.
        tuned: the best on validation cases.
        validation: mean Dice of validation cases with one setting changed at a time.
    """

    thresholds: dict[str, float]
    tuned: dict[str, float]
    validation: list[Gain]


def write_decision(folder: Path, used: Thresholds, tuned: Thresholds, gains: Sequence[Gain]) -> None:
    decision: Decision = {
        "thresholds": dict(zip(STRUCTURES, used, strict=True)),
        "tuned": dict(zip(STRUCTURES, tuned, strict=True)),
        "validation": list(gains),
    }
    write_whole(RunFolder(folder).decision, json.dumps(decision, indent=1) + "\n")


def read_decision(folder: Path) -> Decision | None:
    """Read decision.json of a run folder; None without that file, as in runs of earlier versions.

    Raises:
        LiverError: the file is damaged.
    """
    path = RunFolder(folder).decision
    if not path.exists():
        return None
    content = read_json(path, "delete it, then the thresholds are one half")
    try:
        decision: Decision = TypeAdapter(Decision).validate_python(content)
        for name, thresholds in (("thresholds", decision["thresholds"]), ("tuned", decision["tuned"])):
            for structure in STRUCTURES:
                _threshold(f"{name}.{structure}", thresholds.get(structure))
    except (ValidationError, LiverError) as error:
        reason = explain(error).splitlines()[0] if isinstance(error, ValidationError) else str(error)
        raise LiverError(f"{path} is damaged ({reason}): delete it, then the thresholds are one half") from error
    return decision


def thresholds_of(given: Any, run: Path | None) -> Thresholds:
    """Return the thresholds of `inference.thresholds`: null is one half, "tuned" the best on validation cases.

    Args:
        run: a folder with decision.json; None before anything is tuned.

    Raises:
        LiverError: another value, no probabilities, or nothing was tuned.
    """
    if given is None:
        return HALF
    if given == "tuned":
        decision = read_decision(run) if run is not None else None
        if decision is None:
            raise LiverError(
                f"inference.thresholds=tuned: {run} has no {NAMES.decision}, its thresholds were never tuned"
            )
        return (decision["tuned"]["liver"], decision["tuned"]["tumour"])
    if not isinstance(given, Sequence) or isinstance(given, str) or len(given) != len(STRUCTURES):
        raise LiverError(f"inference.thresholds={given!r}: expected null, tuned, or two probabilities as in [0.5,0.3]")
    liver, tumour = (_threshold("inference.thresholds", value) for value in given)
    return (liver, tumour)


def post_process_of(given: Any, otherwise: Any = None) -> PostProcess:
    """Return the post-processing of `inference.postprocess`.

    Args:
        otherwise: the options of a run, for those that are null in the first; null in both is off.

    Raises:
        LiverError: an option is unknown or out of range, or these are no options.
    """
    on = {**_steps(otherwise), **_steps(given)}
    try:
        return PostProcess(**on)
    except ValidationError as error:
        raise LiverError(explain(error, "inference.postprocess")) from error


def _steps(options: Any) -> dict[str, Any]:
    given = check("inference.postprocess", options, _Steps | None)
    return {name: value for name, value in (given or {}).items() if value is not None}


def _threshold(option: str, value: Any) -> float:
    probability: float = check(option, value, Probability)
    return probability
