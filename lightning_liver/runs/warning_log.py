"""Warnings of a run, kept in its folder for the report."""

import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lightning_liver.errors import LiverError
from lightning_liver.files import write_whole
from lightning_liver.run_folder import RunFolder
from lightning_liver.runs.status import json_of

_PACKAGE, _KEY = "lightning_liver", "warnings"


class _Keeper(logging.Handler):
    """Handler that writes each new warning to a file, after those of an earlier part of the run."""

    def __init__(self, path: Path) -> None:
        super().__init__(logging.WARNING)
        self.path = path

    def emit(self, record: logging.LogRecord) -> None:
        try:
            known, text = read_warnings(self.path), record.getMessage()
            if text not in known:
                write_whole(self.path, json.dumps({_KEY: [*known, text]}, indent=1) + "\n")
        except (OSError, LiverError):  # a full disk, a damaged file: the run goes on
            self.handleError(record)


@contextmanager
def keeping_warnings(folder: Path) -> Iterator[None]:
    """Write what this package warns of within, each text once, to the run folder."""
    keeper, log = _Keeper(RunFolder(folder).warnings), logging.getLogger(_PACKAGE)
    log.addHandler(keeper)
    try:
        yield
    finally:
        log.removeHandler(keeper)


def read_warnings(path: Path) -> Sequence[str]:
    """Return the warnings of a run; none without the file.

    Raises:
        LiverError: it is damaged.
    """
    return [str(text) for text in (json_of(path) or {}).get(_KEY, ())]
