"""Warnings of a run are kept in its folder."""

import logging
from pathlib import Path

from lightning_liver.run_folder import RunFolder
from lightning_liver.runs.warning_log import keeping_warnings, read_warnings

log = logging.getLogger("lightning_liver.data.prepare")


def test_each_warning_is_kept_once_through_an_interruption(tmp_path: Path) -> None:
    log.warning("before the run")
    for _ in range(2):
        with keeping_warnings(tmp_path):
            log.info("no warning")
            log.warning("%d masks", 3)
            log.error("a failure\nof two lines")
    log.warning("after the run")
    assert read_warnings(RunFolder(tmp_path).warnings) == ["3 masks", "a failure\nof two lines"]


def test_a_damaged_file_does_not_end_the_run(tmp_path: Path) -> None:
    RunFolder(tmp_path).warnings.write_text("{")
    with keeping_warnings(tmp_path):
        log.warning("still running")
