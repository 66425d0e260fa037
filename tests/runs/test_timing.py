"""timing.json, written and read by one module."""

import ast
import json
from dataclasses import fields
from pathlib import Path

import pytest

from lightning_liver.errors import LiverError
from lightning_liver.run_folder import RunFolder
from lightning_liver.runs.timing import Timing, read_timing, write_timing

ROOT = Path(__file__).parents[2]
KEYS = {field.name for field in fields(Timing)}
WHOLE = Timing(prepare_s=9.0, fit_s=60.0, test_s=1.5, slices_per_s=8.25, wait_share=0.5)


def test_timing_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    write_timing(tmp_path, WHOLE)
    assert read_timing(tmp_path) == WHOLE
    assert json.loads(RunFolder(tmp_path).timing.read_text()).keys() == KEYS


def test_total_is_unknown_if_a_stage_is() -> None:
    assert (WHOLE.total_s(with_preparation=True), WHOLE.total_s(with_preparation=False)) == (70.5, 61.5)
    assert Timing(fit_s=60.0, test_s=1.5).total_s(with_preparation=True) is None
    assert Timing().total_s(with_preparation=False) is None


def test_what_an_earlier_run_did_not_measure_is_unknown(tmp_path: Path) -> None:
    assert read_timing(tmp_path) == Timing()
    RunFolder(tmp_path).timing.write_text('{"fit_s": 60.0, "slices_per_s": null, "once_measured_s": 1.0}')
    assert read_timing(tmp_path) == Timing(fit_s=60.0)


def test_damaged_timing_is_refused(tmp_path: Path) -> None:
    RunFolder(tmp_path).timing.write_text('{"fit_s": 60')
    with pytest.raises(LiverError, match=r"timing\.json: damaged"):
        read_timing(tmp_path)


def test_no_module_spells_the_keys_of_timing() -> None:
    spelt = {
        str(path.relative_to(ROOT)): node.value
        for room in ("lightning_liver", "experiments")
        for path in (ROOT / room).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in KEYS
    }
    assert not spelt
