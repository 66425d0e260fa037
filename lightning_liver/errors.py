"""Errors that the user can fix, and warnings."""

import errno
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_REFUSED = {errno.EROFS, errno.EACCES, errno.EPERM}
_OF_WORKER, _IN_TRACEBACK = "Caught LiverError in DataLoader worker", "lightning_liver.errors.LiverError: "
_COMPARISONS = ("greater_than", "greater_than_equal", "less_than", "less_than_equal")


class LiverError(Exception):
    """A mistake that the user can fix. Apps print its message, without a traceback, and leave with exit code 2.

    The message says what was wrong, what was seen and what to do.
    """

    def __init__(self, message: object = "") -> None:
        # PyTorch hands on the error of a loading process as one whose message is a traceback that ends in the message
        text = str(message)
        super().__init__(text.rpartition(_IN_TRACEBACK)[2].strip() if text.startswith(_OF_WORKER) else text)


class LiverWarning(UserWarning):
    """Something that was accepted but that the user should know; prepare collects these over all cases."""


class PartlyDone(LiverError):
    """Some of many pieces of work failed, and the others are done. Apps leave with exit code 1."""


class Unfinished(LiverError):
    """A run was stopped, or another process has its folder: the same command goes on with it."""


class Interrupted(Unfinished):
    """The user pressed Ctrl-C; a sweep ends with the run."""


class Pruned(Exception):
    """A trial was given up for its scores so far; its run is neither tested nor complete."""


def first_line(message: object) -> str:
    """Return the first line of a text, or of an error's message; of an error without one its kind."""
    lines = (line.strip() for line in str(message).splitlines() if line.strip())
    return next(lines, type(message).__name__ if isinstance(message, BaseException) else "")


def cannot_write(
    error: BaseException, where: object = "a file", go_on: str = "type the same command again"
) -> str | None:
    """Return what a full disk or a read-only folder did not take, and what to do; None for another error.

    Args:
        where: the folder that is written to, for a system error that names no file.
        go_on: what to do once there is space.
    """
    found = None if isinstance(error, LiverError) else system_error(error)
    if found is None:
        return None
    path = found.filename or where
    if found.errno in _FULL:
        return f"{path}: does not fit ({found.strerror}); free space and {go_on}"
    return f"{path}: cannot be written ({found.strerror}); make it writable, or choose another folder"


def system_error(error: BaseException | None) -> OSError | None:
    """Return the error of a full disk or a read-only folder that an error is, or that it came from."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FULL | _REFUSED:
            return error
        error = error.__cause__ or error.__context__
    return None


def explain(error: "ValidationError", group: str = "") -> str:
    """Return a line for each invalid option: `group.option=value: expected ...`; of a whole document no option."""
    expected: dict[str, list[str]] = {}
    for fault in error.errors():
        option = ".".join(filter(None, [group, *map(str, fault["loc"][:1])]))
        value = "" if fault["type"].startswith("missing") else f"={_typed(fault['input'])}"
        given = f"{option}{value}: " if option else ""
        expected.setdefault(given, []).append(_expected(fault))
    return "\n".join(given + " or ".join(dict.fromkeys(wanted)) for given, wanted in expected.items())


def _typed(value: object) -> str:
    return "null" if value is None else repr(value)


def _expected(fault: "ErrorDetails") -> str:
    kind, message = fault["type"], fault["msg"].removeprefix("Value error, ")
    if kind.startswith("bool"):
        return "expected true or false"
    message = message.replace("Input should be", "expected a value" if kind in _COMPARISONS else "expected")
    if kind.startswith("missing"):
        return "expected a value; none is given"
    if kind == "tuple_type":
        return "expected a list of values, as in [1,2]"
    if kind == "too_long":
        return f"expected {fault['ctx']['max_length']} values, not {fault['ctx']['actual_length']}"
    if kind in ("unexpected_keyword_argument", "extra_forbidden"):
        return "expected no option of this name; correct or remove it"
    return message if message.startswith("expected") else f"expected a valid value ({message})"
