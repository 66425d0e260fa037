"""Types of options, checked by pydantic where a config is built. None takes infinity or NaN."""

from typing import Annotated

from pydantic import AfterValidator, Field


def _increasing(window_hu: tuple[float, float]) -> tuple[float, float]:
    if not window_hu[0] < window_hu[1]:
        raise ValueError("expected a first value below the second, as in [-160, 240]")
    return window_hu


Natural = Annotated[int, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1)]
BelowOne = Annotated[float, Field(ge=0, lt=1)]
Window = Annotated[tuple[Finite, Finite], AfterValidator(_increasing)]  # lower and upper end
