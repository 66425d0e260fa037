"""What a report advises, from the files of a run."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lightning_liver.report.html.advice import advice
from lightning_liver.runs.contents import Contents, read_contents
from lightning_liver.runs.scalars import Point


@pytest.fixture
def contents(whole_run: Path) -> Contents:
    return replace(read_contents(whole_run), curves={})


def test_tuned_thresholds_and_a_step_are_advised_with_their_gain(contents: Contents) -> None:
    thresholds, step = advice(contents)
    assert "thresholds=tuned would give tumour Dice 0.452 instead of 0.410 on validation cases" in thresholds
    assert "liver-evaluate run=RUN_FOLDER inference.thresholds=tuned" in thresholds
    assert step.startswith("inference.postprocess.largest_liver=true would give")


@pytest.mark.parametrize(
    "without",
    [
        lambda rows: [row | {"liver": 0.9, "tumour": 0.4} for row in rows],
        lambda rows: [],
    ],
)
def test_nothing_is_advised_that_gains_nothing(contents: Contents, without: Callable[[Any], Any]) -> None:
    decision = dict(contents.decision or {})
    assert advice(replace(contents, decision=decision | {"validation": without(decision["validation"])})) == []


def test_thresholds_in_use_are_not_advised_again(contents: Contents) -> None:
    decision = dict(contents.decision or {})
    used = replace(contents, decision=decision | {"thresholds": decision["tuned"]})
    assert not any("thresholds=tuned" in text for text in advice(used))


def test_a_network_that_predicts_no_tumour_is_told(contents: Contents) -> None:
    cases = [line | {"predicted_voxels": "0"} if line["structure"] == "tumour" else line for line in contents.cases]
    first = advice(replace(contents, cases=cases))[0]
    assert first.startswith("No tumour voxel was predicted in any test case")
    assert "loss.class_weights=[1,2]" in first


def test_a_training_that_was_still_rising_is_continued(contents: Contents) -> None:
    rising = [Point(step, step / 100) for step in range(1, 60)]
    longer = replace(contents, curves={"val/mean/dice_per_case": rising}, metrics={"steps": 100}, decision=None)
    (text,) = advice(longer)
    assert text.endswith("python train.py resume=RUN_FOLDER trainer.max_epochs=16")
