"""Screening designs are balanced, and whole for each repeat."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_liver.errors import LiverError
from lightning_liver.sweep.design import configurations, jobs, plackett_burman


@given(st.integers(2, 31))
def test_two_options_meet_in_all_combinations_equally_often(options: int) -> None:
    design = plackett_burman(options)
    assert options < len(design) <= options + 9
    for first in range(options):
        for second in range(first):
            combined = 2 * design[:, first].astype(int) + design[:, second]
            assert set(np.bincount(combined, minlength=4)) == {len(design) // 4}


def test_twelve_configurations_are_those_of_the_paper() -> None:
    """Plackett & Burman's table has rows in another order, but the same generator: ++-+++---+- and its shifts."""
    generator = [sign == "+" for sign in "++-+++---+-"]
    shifts = {tuple(generator[shift:] + generator[:shift]) for shift in range(11)}
    assert set(map(tuple, plackett_burman(11).tolist())) == shifts | {(False,) * 11}


def test_last_configuration_has_the_first_levels() -> None:
    assert configurations({"loss": ["bce", "dice"], "data.window_hu": [[-160, 240], [-60, 180]]})[-1] == [
        "loss=bce",
        "data.window_hu=[-160,240]",
    ]


def test_whole_design_comes_once_for_each_repeat() -> None:
    found = list(jobs({"a": [1, 2], "b": [True, None]}, [["seed=0"], ["seed=1"]]))
    assert [job[-1] for job in found] == ["seed=0"] * 4 + ["seed=1"] * 4
    assert found[:4] == [[*job[:2], "seed=0"] for job in found[4:]]
    assert {job[1] for job in found} == {"b=true", "b=null"}


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        ({}, "factors"),
        ({"a": [1]}, "two"),
        ({"a": [1, 1]}, "two"),
        ({"a": [1, 2, 3]}, "two"),
        ({"a": "12"}, "two"),
        ({f"o{n}": [0, 1] for n in range(32)}, "31"),
        ({"seed": [1, 2]}, "beside"),
    ],
)
def test_wrong_options_are_refused(factors: dict[str, list[object]], message: str) -> None:
    with pytest.raises(LiverError, match=message):
        list(jobs(factors, [["seed=0"]]))
