"""Signals, and consoles that take less than is printed."""

import io
import logging
import os
import signal
import sys

import pytest

from lightning_liver.apps.console import ending_as_by_ctrl_c, forgiving_streams, silent_about_full_disks


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGUSR1"])
def test_the_first_signal_is_a_ctrl_c_and_further_ones_are_ignored(name: str) -> None:
    number = getattr(signal, name)
    heard = 0
    before = signal.signal(number, signal.SIG_DFL)  # the tests may run under nohup
    try:
        with ending_as_by_ctrl_c():
            for _ in range(3):
                try:
                    os.kill(os.getpid(), number)
                except KeyboardInterrupt:
                    heard += 1
        assert heard == 1
        assert signal.getsignal(number) == signal.SIG_DFL
    finally:
        signal.signal(number, before)


def test_nohup_stays_in_force() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ending_as_by_ctrl_c():
            os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_characters_that_a_console_cannot_show_are_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, encoding="ascii"))
    with forgiving_streams():
        print("5 ± 1 mm")
    assert shown.getvalue() == b"5 \\xb1 1 mm\n"


def test_a_command_goes_on_after_its_reader_has_left(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        with forgiving_streams():
            for _ in range(3):
                print("a line", flush=True)


def test_a_log_that_does_not_fit_prints_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    with io.TextIOWrapper(io.FileIO("/dev/full", "w"), write_through=True) as full, silent_about_full_disks():
        logging.StreamHandler(full).handle(logging.makeLogRecord({"msg": "a line"}))
    assert capsys.readouterr().err == ""
