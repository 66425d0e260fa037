"""Numbers as texts, tables and figures show them."""

from lightning_liver.tables import MISSING


def number_text(value: float | None, decimals: int = 3) -> str:
    """Return a number with fixed decimals, "-" for None."""
    return MISSING if value is None else f"{value:.{decimals}f}"


def range_text(low: float | None, high: float | None, decimals: int = 3, sign: str = "") -> str:
    """Return "low to high", or nothing if there is no interval.

    Args:
        sign: "+" shows the sign of positive numbers too.
    """
    return "" if low is None or high is None else f"{low:{sign}.{decimals}f} to {high:{sign}.{decimals}f}"


def counted(number: int, noun: str) -> str:
    """Return a number with its noun in singular or plural."""
    return f"{number} {noun}{'s' * (number != 1)}"


def p_text(p: float, equals: str = "") -> str:
    """Return a p value with three decimals behind `equals`, "< 0.001" if it is smaller."""
    return f"{equals}{p:.3f}" if p >= 0.001 else "< 0.001"
