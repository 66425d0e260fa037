from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from lightning_liver.comparison.letter_display import letter_display
from lightning_liver.comparison.statistics import Comparison
from lightning_liver.metrics.intervals import Mean

NAMES = [f"loss={n}" for n in range(7)]


def pair(first: str, second: str, p: float) -> Comparison:
    return Comparison(first, second, 9, 3, Mean(0.0, None, None), 0.0, p, 0.0)


@given(st.lists(st.booleans(), min_size=21, max_size=21))
def test_two_share_a_letter_exactly_if_they_are_not_reported_apart(apart: list[bool]) -> None:
    pairs = [
        pair(*names, 0.01 if is_apart else 0.5) for names, is_apart in zip(combinations(NAMES, 2), apart, strict=True)
    ]
    shown = letter_display(NAMES, pairs)
    for each in pairs:
        assert bool(set(shown[each.first]) & set(shown[each.second])) != each.is_significant
    assert all(shown.values())
    assert "a" in shown[NAMES[0]]


def test_a_middle_one_without_a_difference_has_both_letters() -> None:
    pairs = [pair("best", "middle", 0.4), pair("middle", "worst", 0.4), pair("best", "worst", 0.001)]
    assert letter_display(["best", "middle", "worst"], pairs) == {"best": "a", "middle": "ab", "worst": "b"}


def test_pairs_without_a_test_are_not_reported_apart() -> None:
    assert letter_display(["best", "worst"], []) == {"best": "a", "worst": "a"}
