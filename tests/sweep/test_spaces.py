"""Spaces and values of the command line."""

import math
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from lightning_liver.config import typed
from lightning_liver.errors import LiverError
from lightning_liver.sweep.spaces import distribution

Numbers = st.floats(-1e6, 1e6) | st.integers(-1000, 1000)


def space(text: str) -> BaseDistribution:
    return distribution(OverridesParser.create().parse_override(f"x={text}"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("choice(0.25,0.5)", CategoricalDistribution(("0.25", "0.5"))),
        ("bce,dice", CategoricalDistribution(("bce", "dice"))),
        ("choice([1,2],'a b')", CategoricalDistribution(("[1,2]", r"a\ b"))),
        ("interval(0,5)", FloatDistribution(0, 5)),
        ("int(interval(1,5))", IntDistribution(1, 5)),
        ("tag(log,interval(1e-4,1e-2))", FloatDistribution(1e-4, 1e-2, log=True)),
        ("tag(log,int(interval(4,64)))", IntDistribution(4, 64, log=True)),
        ("range(1,4)", IntDistribution(1, 3)),
        ("range(9,0,-3)", IntDistribution(3, 9, step=3)),
        ("range(0,0.5,0.1)", FloatDistribution(0, 0.4, step=0.1)),
    ],
)
def test_hydra_sweeps_become_spaces(text: str, expected: BaseDistribution) -> None:
    assert space(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("interval(5,0)", "x: "),
        ("tag(log,interval(0,1))", "x: "),
        ("tag(loud,interval(0,1))", "tag(loud"),
        ("tag(log,choice(1,2))", "tag(log"),
        ("choice(1,1)", "different"),
        ("range(3,1)", "empty"),
        ("tag(log,range(1,9,2))", "x: "),
    ],
)
def test_contradictory_space_is_refused_by_its_name(text: str, message: str) -> None:
    with pytest.raises(LiverError, match=r"^x: ") as caught:
        space(text)
    assert message in str(caught.value)


@given(st.integers(-50, 50), st.integers(1, 9), st.integers(1, 8), st.sampled_from([1, 10]))
def test_range_has_its_first_and_last_number_and_their_steps(first: int, step: int, count: int, per: int) -> None:
    start, stride, end = first / per, step / per, (first + step * count - step / 2) / per
    made = space(f"range({start},{end},{stride})")
    assert isinstance(made, FloatDistribution)
    assert made.step is not None
    assert made.low == pytest.approx(start)
    assert made.high == pytest.approx((first + step * (count - 1)) / per)
    assert math.isclose((made.high - made.low) / made.step, count - 1, abs_tol=1e-9)


PLAIN = st.recursive(
    st.none() | st.booleans() | Numbers | st.text(st.characters(exclude_categories=("C", "Z")) | st.just(" ")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.from_regex(r"[a-z_]{1,8}", fullmatch=True), inner),
    max_leaves=6,
)


@given(PLAIN)
def test_typed_value_is_read_back_by_hydra(value: Any) -> None:
    assert OverridesParser.create().parse_override(f"x={typed(value)}").value() == value
