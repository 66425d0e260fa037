"""Spaces of a search: choices, whole or real numbers, uniform or log-uniform."""

from collections.abc import Iterable, Sequence
from decimal import Decimal

from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from lightning_liver.errors import LiverError


def distribution(override: Override) -> BaseDistribution:
    """Return the space of an override like x=interval(0,1).

    Raises:
        LiverError: it is empty or contradicts itself.
    """
    name, value = override.get_key_element(), override.value()
    if isinstance(value, IntervalSweep):
        assert value.start is not None
        assert value.end is not None
        return between(name, value.start, value.end, value.tags)
    if isinstance(value, RangeSweep):
        assert value.start is not None
        return steps(name, value.start, value.step, len(list(value.range())), value.tags)
    return choices(name, list(override.sweep_string_iterator()), getattr(value, "tags", ()))


def choices(name: str, values: Sequence[str], tags: Iterable[str]) -> BaseDistribution:
    """Return the space of some values, each as it is typed.

    Raises:
        LiverError: no value, a value twice, or a tag: choices have no order.
    """
    if _is_log(name, tags):
        raise LiverError(f"{name}: expected numbers between two bounds for tag(log, ...); choose without the tag")
    if not values or len(set(values)) < len(values):
        raise LiverError(f"{name}: expected different values to choose from, not {', '.join(values) or 'none'}")
    return CategoricalDistribution(tuple(values))


def steps(name: str, first: float, step: float, count: int, tags: Iterable[str]) -> BaseDistribution:
    """Return the space of `count` numbers, `step` apart, which may be negative; whole numbers stay whole.

    Raises:
        LiverError: no number, or numbers without a logarithm.
    """
    if count < 1:
        raise LiverError(f"{name}: expected a range that is not empty; range(FIRST,END) ends before END")
    # in the decimals as typed: 0.1 * 3 is not 0.3
    last = type(first + step)(Decimal(str(first)) + (count - 1) * Decimal(str(step)))
    whole = isinstance(first, int) and isinstance(step, int)
    return _checked(name, min(first, last), max(first, last), whole=whole, step=abs(step), log=_is_log(name, tags))


def between(name: str, low: float, high: float, tags: Iterable[str]) -> BaseDistribution:
    """Return the space from `low` to `high`, both included; of whole numbers if both are ints.

    Raises:
        LiverError: high is below low, or a log-uniform space does not start above 0.
    """
    whole = isinstance(low, int) and isinstance(high, int)
    return _checked(name, low, high, whole=whole, step=1 if whole else None, log=_is_log(name, tags))


def _is_log(name: str, tags: Iterable[str]) -> bool:
    if unknown := sorted(set(tags) - {"log"}):
        raise LiverError(f"{name}: tag({unknown[0]}, ...) is unknown; expected tag(log, ...)")
    return "log" in tags


def _checked(name: str, low: float, high: float, *, whole: bool, step: float | None, log: bool) -> BaseDistribution:
    try:
        if whole:
            return IntDistribution(int(low), int(high), log=log, step=int(step or 1))
        return FloatDistribution(low, high, log=log, step=step)
    except ValueError as error:
        raise LiverError(f"{name}: {error}") from error
