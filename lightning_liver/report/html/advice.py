"""Advice of a report: what the run's own files show would help, with the option to type."""

from collections.abc import Mapping, Sequence
from typing import Any

from lightning_liver.metrics.case.dice import MONITORED
from lightning_liver.report.html.results import of_structure
from lightning_liver.report.numbers import number_text
from lightning_liver.runs.contents import Contents, number
from lightning_liver.runs.scalars import while_training
from lightning_liver.sweep.rising import is_rising
from lightning_liver.types import STRUCTURES

_WORTH = 0.01  # gain of mean validation Dice below which nothing is advised
_THRESHOLDS = "inference.thresholds=tuned"
_TUNED = "tuned thresholds"
_SEVERAL = "all of these"


def advice(contents: Contents) -> list[str]:
    """Return a sentence or two for each thing that would help; none if nothing is known to."""
    decision = contents.decision or {}
    rows = decision.get("validation") or []
    base = _base(decision, rows)
    nothing = [_nothing(contents, structure) for structure in STRUCTURES]
    return [
        text
        for text in (*nothing, _thresholds(rows, base), _post_process(contents, rows, base), _longer(contents))
        if text
    ]


def _nothing(contents: Contents, structure: str) -> str:
    """Say that no voxel of a structure was predicted, though test cases have it."""
    lines = of_structure(contents.cases, structure)
    voxels = [(number(line.get("true_voxels")), number(line.get("predicted_voxels"))) for line in lines]
    if not any(true for true, _ in voxels) or any(predicted is None or predicted > 0 for _, predicted in voxels):
        return ""
    return (
        f"No {structure} voxel was predicted in any test case. Lower thresholds, a longer training, or more weight for "
        f"the {structure} help: loss.class_weights={'[2,1]' if structure == 'liver' else '[1,2]'}."
    )


def _base(decision: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the row of the thresholds in use."""
    is_tuned = bool(decision) and decision.get("thresholds") == decision.get("tuned")
    return next((row for row in rows if is_tuned and row.get("what") == _TUNED), rows[0] if rows else {})


def _thresholds(rows: Sequence[Mapping[str, Any]], base: Mapping[str, Any]) -> str:
    tuned = next((row for row in rows if row.get("what") == _TUNED), base)
    better = [s for s in STRUCTURES if _gain(tuned, base, s) >= _WORTH]
    if not better:
        return ""
    figures = ", ".join(f"{s} Dice {number_text(tuned[s])} instead of {number_text(base[s])}" for s in better)
    return (
        f"{_THRESHOLDS} would give {figures} on validation cases. "
        f"On the test cases: liver-evaluate run=RUN_FOLDER {_THRESHOLDS}"
    )


def _post_process(contents: Contents, rows: Sequence[Mapping[str, Any]], base: Mapping[str, Any]) -> str:
    steps = [row for row in rows[1:] if row.get("what") not in (_TUNED, _SEVERAL) and not _is_used(contents, row)]
    gains = {str(row.get("what")): sum(_gain(row, base, s) for s in STRUCTURES) / len(STRUCTURES) for row in steps}
    best = max(gains, key=gains.__getitem__, default="")
    if not best or gains[best] < _WORTH:
        return ""
    row = next(row for row in steps if row.get("what") == best)
    figures = " and ".join(f"{s} {number_text(row.get(s))} instead of {number_text(base.get(s))}" for s in STRUCTURES)
    option = best if "=" in best else f"{best}=true"
    return f"inference.postprocess.{option} would give a Dice of {figures} on validation cases."


def _is_used(contents: Contents, row: Mapping[str, Any]) -> bool:
    step = str(row.get("what")).partition("=")[0]
    return bool(contents.settings.get(f"inference.postprocess.{step}"))


def _gain(row: Mapping[str, Any], base: Mapping[str, Any], structure: str) -> float:
    after, before = row.get(structure), base.get(structure)
    return 0.0 if after is None or before is None else after - before


def _longer(contents: Contents) -> str:
    steps = contents.metrics.get("steps")
    scores = [
        point.value for point in while_training(contents.curves.get(MONITORED, ()), int(steps) if steps else None)
    ]
    if not is_rising(scores):
        return ""
    minutes, epochs = contents.chosen.get("max_minutes"), contents.chosen.get("max_epochs")
    budget = f"max_minutes={2 * minutes:g}" if minutes else f"max_epochs={2 * epochs}" if epochs else "max_epochs=MORE"
    return (
        "Validation Dice was still rising when training ended. To train on: "
        f"python train.py resume=RUN_FOLDER trainer.{budget}"
    )
