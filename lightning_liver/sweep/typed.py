"""The spaces that were typed on Hydra's command line."""

from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
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
