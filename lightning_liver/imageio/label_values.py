"""Values of liver and tumour in masks that number them otherwise than LiTS."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float, Shaped
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from lightning_liver.errors import LiverError, explain

MOST_LISTED = 8
_ROUNDING = 0.01  # of values
_EXAMPLE = "{liver:[1,2],tumour:[2]}"


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class LabelValues:
    """Values of a mask.

    Args:
        liver: values of the liver, of its tumours, too, or not: what is tumour is liver in any case.
        tumour: values of tumours.
        background: values of other structures besides 0; "others" is every whole number that is not named. A mask
            with a value that is not named is refused.
    """

    liver: tuple[int, ...] = Field(min_length=1)
    tumour: tuple[int, ...] = ()
    background: tuple[int, ...] | Literal["others"] = ()

    @model_validator(mode="after")
    def _check(self) -> "LabelValues":
        named = {*self.liver, *self.tumour}
        ignored = {0, *(self.background if self.background != "others" else ())}
        if both := sorted(named & ignored):
            raise ValueError(f"expected {both[0]} as background or as a structure, not both")
        return self

    def meanings(
        self, values: Shaped[np.ndarray, " n"]
    ) -> tuple[Bool[np.ndarray, " n"], Bool[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
        """Return which voxels are liver without tumour, which are tumour, and which have a value that is not named."""
        tumour = np.isin(values, self.tumour)
        liver = np.isin(values, self.liver) & ~tumour
        if self.background == "others":
            return liver, tumour, values != np.rint(values)
        return liver, tumour, ~(liver | tumour | np.isin(values, (0, *self.background)))

    def as_entry(self) -> dict[str, Any]:
        """Return plain containers, equal for equal meanings."""
        ignored = self.background if self.background == "others" else sorted({0, *self.background})
        return {
            "liver": sorted({*self.liver, *self.tumour}),
            "tumour": sorted({*self.tumour}),
            "background": ignored,
        }

    def __str__(self) -> str:
        rest = "the others" if self.background == "others" else _listed((0, *self.background))
        return f"liver {_listed(self.liver)}, tumour {_listed(self.tumour) or 'none'}, background {rest}"


LITS = LabelValues(liver=(1, 2), tumour=(2,))


def label_values(given: object, option: str) -> LabelValues:
    """Return the values that an option names; null is LiTS's.

    Raises:
        LiverError: other names, no value of the liver, a value that is no whole number or has two meanings.
    """
    if given is None:
        return LITS
    try:
        return TypeAdapter(LabelValues).validate_python(given)
    except ValidationError as error:
        raise LiverError(f"{explain(error, option)}; give values of the masks, as in {option}={_EXAMPLE}") from None


def rounded(values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Round values that are whole but for a header's scale or another program's float32; keep interpolated ones."""
    whole: np.ndarray = np.rint(values)
    return np.where(np.abs(values - whole) <= _ROUNDING, whole, values)


def refuse_strange(path: Path, strange: set[float], meant: LabelValues) -> None:
    """Refuse a mask with values that are not named.

    Args:
        strange: these values, at least MOST_LISTED of them or all.
    """
    if not strange:
        return
    seen = ", ".join(f"{value:g}" for value in sorted(strange)[:MOST_LISTED])
    whole = all(float(value).is_integer() for value in strange)
    cure = (
        "map them to these, or name all by data.labels (liver-evaluate: truth_labels)"
        if whole
        else "resample the mask by nearest neighbour, without interpolation"
    )
    expected = "0 background, 1 liver, 2 tumour" if meant == LITS else str(meant)
    raise LiverError(f"{path}: labels are {expected}, but the mask also has {seen}; {cure}")


def _listed(values: tuple[int, ...]) -> str:
    return ", ".join(map(str, dict.fromkeys(values)))
