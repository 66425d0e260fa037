"""What the user can mend, and what the user should know."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError

_COMPARISONS = ("greater_than", "greater_than_equal", "less_than", "less_than_equal")


class LiverError(Exception):
    """A mistake that the user can mend. Apps print its message, without a traceback, and leave with exit code 2.

    The message says what was wrong, what was seen and what to do.
    """


class LiverWarning(UserWarning):
    """Something that was accepted but that the user should know; prepare collects these over all cases."""


class PartlyDone(LiverError):
    """Some of many pieces of work failed, and the others are done. Apps leave with exit code 1."""


class Unfinished(LiverError):
    """A run was stopped, or another process has its folder: the same command goes on with it."""


class Pruned(Exception):
    """A trial was given up for its scores so far; its run is neither tested nor complete."""


def explain(error: "ValidationError", group: str = "") -> str:
    """Return a line for each invalid option: `group.option=value: expected ...`; of a whole document no option."""
    lines = []
    for fault in error.errors():
        option, kind = ".".join(filter(None, [group, *map(str, fault["loc"][:1])])), fault["type"]
        given = f"{option}={fault['input']!r}: " if option else ""
        expected = fault["msg"].removeprefix("Value error, ")
        expected = expected.replace("Input should be", "expected a value" if kind in _COMPARISONS else "expected")
        if kind.startswith("missing"):
            lines.append(f"{option}: expected a value; none is given")
        elif kind in ("unexpected_keyword_argument", "extra_forbidden"):
            lines.append(f"{given}expected no option of this name; correct or remove it")
        elif expected.startswith("expected"):
            lines.append(f"{given}{expected}")
        else:
            lines.append(f"{given}expected a valid value ({expected})")
    return "\n".join(lines)
