"""Hydra's command line: the spaces that were typed, and values as they would be typed."""

from collections.abc import Mapping
from typing import Any

from hydra.core.override_parser.types import IntervalSweep, Override, Quote, QuotedString, RangeSweep
from optuna.distributions import BaseDistribution

from lightning_liver.optimise import spaces


def distribution(override: Override) -> BaseDistribution:
    """The space that an override like x=interval(0,1) stands for.

    Raises:
        LiverError: it is empty or contradicts itself.
    """
    name, value = override.get_key_element(), override.value()
    if isinstance(value, IntervalSweep):
        assert value.start is not None
        assert value.end is not None
        return spaces.between(name, value.start, value.end, value.tags)
    if isinstance(value, RangeSweep):
        assert value.start is not None
        return spaces.steps(name, value.start, value.step, len(list(value.range())), value.tags)
    return spaces.choices(name, list(override.sweep_string_iterator()), getattr(value, "tags", ()))


def typed(value: Any) -> str:
    """A plain value as it is typed: numbers, text, lists, mappings, true, false and null."""
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{name}:{typed(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(typed, value)) + "]"
    if isinstance(value, str):
        return QuotedString(value, Quote.single).with_quotes()
    return "null" if value is None else str(value).lower()
