"""Types of options, checked by pydantic where a config is built. None takes infinity or NaN."""

from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, Strict, TypeAdapter, ValidationError

from lightning_liver.errors import LiverError, explain


def _increasing(window_hu: tuple[float, float]) -> tuple[float, float]:
    if not window_hu[0] < window_hu[1]:
        raise ValueError("expected a first value below the second, as in [-160, 240]")
    return window_hu


def whole_number(least: int, most: int) -> Any:
    """Return the type of whole numbers from `least` to `most`; neither true nor "1" is one."""
    return Annotated[int, Field(ge=least, le=most, strict=True)]


def number(least: float, most: float) -> Any:
    """Return the type of numbers from `least` to `most`; neither true nor "1" is one."""
    return Annotated[float, Field(ge=least, le=most, strict=True)]


Natural = Annotated[int, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1)]
PositiveFraction = Annotated[float, Field(gt=0, le=1)]
BelowOne = Annotated[float, Field(ge=0, lt=1)]
Window = Annotated[tuple[Finite, Finite], AfterValidator(_increasing)]  # lower and upper end
Millimetres = Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)]
CubicMillimetres = Millimetres
Probability = Annotated[float, Field(gt=0, lt=1, strict=True)]  # neither certain end
Confidence = Annotated[float, Field(gt=0.5, lt=1)]  # probability of the likelier of two answers
Side = Annotated[int, Field(ge=16)]  # of a slice or a tile, pixels
Seed = Annotated[int, Field(ge=0, lt=2**32, strict=True)]
Workers = Annotated[int, Field(ge=0, le=1024, strict=True)]  # processes; 0 is this one
Switch = Annotated[bool, Strict()]

Checked = ConfigDict(arbitrary_types_allowed=True)  # of pydantic's decorators


def check(option: str, value: Any, kind: Any) -> Any:
    """Return a value of the command line if it is of its type.

    Args:
        option: its full name, for the message.
        kind: a type of this module, or what pydantic takes for one.

    Raises:
        LiverError: it is of another type, or out of range.
    """
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        raise LiverError(explain(error, option)) from None
