"""Types of options, checked by pydantic where a config is built. None takes infinity or NaN."""

from functools import partial
from inspect import Parameter, signature
from types import FunctionType
from typing import Annotated, Any, get_type_hints

from pydantic import AfterValidator, ConfigDict, Field, Strict, TypeAdapter, ValidationError, create_model

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
Closed = ConfigDict(extra="forbid")  # of its dataclasses, which would ignore an unknown option


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


def check_partial(made: object, place: str) -> None:
    """Check the options of a partial function, and of partial functions among them, by its annotations.

    Raises:
        LiverError: an option is unknown, of the wrong type or out of range.
    """
    if not isinstance(made, partial):
        return
    for option, value in made.keywords.items():
        check_partial(value, f"{place}.{option}")
    parameters = signature(made.func).parameters
    open_ended = any(each.kind is Parameter.VAR_KEYWORD for each in parameters.values())
    if open_ended or not isinstance(made.func, FunctionType) or hasattr(made.func, "raw_function"):  # has validate_call
        return
    hints = get_type_hints(made.func, include_extras=True)
    fields: Any = {name: (hints.get(name, Any), ...) for name in parameters if name in made.keywords}
    checked = ConfigDict(arbitrary_types_allowed=True, strict=True, extra="forbid")
    try:
        create_model("Options", __config__=checked, **fields)(**made.keywords)
    except ValidationError as error:
        raise LiverError(explain(error, place)) from error
