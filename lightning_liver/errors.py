"""What the user can mend, and what the user should know."""


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
