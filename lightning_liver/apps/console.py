"""Signals that end a command, and what its console shows."""

import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from lightning_liver.apps.slurm_job import PUT_BACK, put_back
from lightning_liver.errors import system_error

# a stopped job, a closed terminal, Slurm's warning before the end of its time; Windows has the first alone
_ENDING = ("SIGTERM", "SIGHUP", "SIGUSR1")


@contextmanager
def ending_as_by_ctrl_c() -> Iterator[None]:
    """Let the first signal that ends a process raise KeyboardInterrupt, and ignore further ones: it is ending by then.

    A signal that is ignored, as of nohup, or that has a handler keeps it. A Slurm job that has to leave its node goes
    back into the queue.
    """
    if threading.current_thread() is not threading.main_thread():  # as in a notebook's server
        yield
        return
    heard = False

    def end(number: int, frame: FrameType | None) -> None:
        nonlocal heard
        if not heard:
            heard = True
            raise KeyboardInterrupt

    known = [getattr(signal, name) for name in _ENDING if hasattr(signal, name)]
    ours = [number for number in known if signal.getsignal(number) == signal.SIG_DFL]
    for number in ours:
        signal.signal(number, end)
    try:
        yield
    except SystemExit as ended:
        if heard and put_back():
            raise SystemExit(PUT_BACK) from ended
        raise
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


@contextmanager
def forgiving_streams() -> Iterator[None]:
    """Replace characters that the console cannot show; go on in silence once its reader has left, as of `| head`."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (_forgiving(stream) for stream in before)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        sys.stdout, sys.stderr = before


@contextmanager
def silent_about_full_disks() -> Iterator[None]:
    """Print no traceback of a log, or of a logger's thread, that does not fit: the command itself says so."""
    raises, hook = logging.raiseExceptions, threading.excepthook

    def unless_full(arguments: Any) -> None:
        if system_error(arguments.exc_value) is None:
            hook(arguments)

    logging.raiseExceptions, threading.excepthook = False, unless_full
    try:
        yield
    finally:
        logging.raiseExceptions, threading.excepthook = raises, hook


def _forgiving(stream: Any) -> Any:
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None and getattr(stream, "errors", None) == "strict":
        reconfigure(errors="backslashreplace")
    return _Lasting(stream)


class _Lasting:
    """A stream that goes on to nowhere once its reader has left."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except BrokenPipeError:
            self._leave()
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except BrokenPipeError:
            self._leave()

    def _leave(self) -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)
