"""Numbers as texts, tables and figures show them."""

from lightning_liver.tables import MISSING

_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def number_text(value: float | None, decimals: int = 3) -> str:
    """Return a number with fixed decimals, "-" for None."""
    return MISSING if value is None else f"{value:.{decimals}f}"


def significant_text(value: float | None) -> str:
    """Return a number with three significant digits, as 0.0213 or 1.52 × 10⁻⁵; "-" for None."""
    if value is None or value == 0 or abs(value) >= 0.001:
        return MISSING if value is None else f"{value:#.3g}".removesuffix(".")
    digits, _, power = f"{value:.2e}".partition("e")
    return f"{digits} × 10{str(int(power)).translate(_RAISED)}"


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
