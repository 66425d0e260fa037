from pathlib import Path
from typing import Any

import pytest

from lightning_liver.errors import LiverError
from lightning_liver.inference.decision import (
    post_process_of,
    read_decision,
    thresholds_of,
    write_decision,
)
from lightning_liver.inference.postprocess import PostProcess


def test_a_written_decision_is_read_back(tmp_path: Path) -> None:
    assert read_decision(tmp_path) is None
    write_decision(tmp_path, (0.5, 0.5), (0.55, 0.125), [{"what": "thresholds 0.5", "liver": 0.9, "tumour": 0.4}])
    kept = read_decision(tmp_path)
    assert kept is not None
    assert kept["thresholds"] == {"liver": 0.5, "tumour": 0.5}
    assert kept["validation"][0]["liver"] == 0.9
    assert thresholds_of("tuned", tmp_path) == (0.55, 0.125)
    assert thresholds_of(None, tmp_path) == (0.5, 0.5)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "Expecting value"),
        ("{}", "thresholds"),
        ('{"thresholds": {"liver": 2, "tumour": 0.5}, "tuned": {}, "validation": []}', r"thresholds\.liver=2"),
        (
            '{"thresholds": {"liver": 0.5, "tumour": 0.5}, "tuned": {"liver": 0.5}, "validation": []}',
            r"tuned\.tumour=null",
        ),
    ],
)
def test_a_damaged_file_is_named_with_the_reason(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "decision.json").write_text(text)
    with pytest.raises(LiverError, match=reason) as told:
        read_decision(tmp_path)
    assert str(tmp_path / "decision.json") in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("given", ["half", [0.5], [0, 0.5], [0.5, 1.0], [0.5, "a"], 0.5, [True, 0.5]])
def test_thresholds_out_of_range_are_refused(given: Any) -> None:
    with pytest.raises(LiverError, match=r"inference\.thresholds"):
        thresholds_of(given, None)


def test_tuned_thresholds_without_tuning_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LiverError, match="never tuned"):
        thresholds_of("tuned", tmp_path)


def test_options_that_are_null_are_off() -> None:
    assert post_process_of(None) == post_process_of({"largest_liver": None}) == PostProcess()
    assert post_process_of({"largest_liver": True, "min_tumour_mm3": 20}).min_tumour_mm3 == 20


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"smallest": True}, r"inference\.postprocess\.smallest=True: expected no option of this name"),
        ({"min_tumour_mm3": -1}, "min_tumour_mm3=-1"),
        ({"min_tumour_mm3": True}, "min_tumour_mm3=True"),
        ({"fill_holes": "soon"}, "soon"),
        (True, "postprocess=True: expected steps"),
        (False, "postprocess=False: expected steps"),
        ("largest_liver", "expected steps"),
        (["largest_liver"], "expected steps"),
    ],
)
def test_unknown_and_invalid_options_are_refused(given: Any, message: str) -> None:
    with pytest.raises(LiverError, match=message):
        post_process_of(given)


def test_a_step_of_the_run_can_be_switched_off() -> None:
    of_run = {"largest_liver": True, "fill_holes": True, "min_tumour_mm3": 50.0}
    typed = {"largest_liver": False, "tumour_in_liver": True, "fill_holes": None, "min_tumour_mm3": 0}
    assert list(post_process_of(typed, of_run).steps()) == ["fill_holes", "tumour_in_liver"]
    assert post_process_of(None, of_run) == post_process_of(of_run)
