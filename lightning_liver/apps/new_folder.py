"""Folder of a command that failed: removed if the command did nothing, else its log says why."""

import logging
from contextlib import suppress
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lightning_liver.errors import LiverError, Unfinished, first_line
from lightning_liver.run_folder import NAMES, RunFolder

_missing: list[Path] = []  # the run folder and those above it that did not exist when the command began, deepest first


class NewFolder(Callback):
    """Notes, before Hydra makes the run folder, which folders do not exist yet."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        _missing.clear()
        with suppress(OmegaConfBaseException):  # Hydra reports it next
            folder = Path(str(OmegaConf.select(config, "hydra.run.dir"))).absolute()
            _missing.extend(path for path in (folder, *folder.parents) if not path.exists())


def new_folder() -> Path | None:
    """Return the run folder if it did not exist when the command began."""
    return _missing[0] if _missing else None


def remove_new_folder() -> None:
    """Remove the run folder if this command made it and it holds nothing but Hydra's files, an empty log and a lock."""
    if not _missing or not _missing[0].is_dir():
        return
    folder, names = _missing[0], RunFolder(_missing[0])
    files = [path for path in folder.rglob("*") if path != names.hydra]
    of_hydra = {names.config, names.hydra_config, names.overrides}
    if all(path in of_hydra or _is_empty_log_or_lock(path, names) for path in files):
        _close_log(folder)
        for path in files:
            path.unlink(missing_ok=True)
        for path in (names.hydra, *_missing):
            with suppress(OSError):  # holds something else, or does not exist
                path.rmdir()


def note_failure(error: BaseException) -> None:
    """Write to the log of the run folder why the command failed: liver-runs shows it.

    A run that began earlier has not failed if it only refused to be continued.
    """
    if isinstance(error, Unfinished) or (isinstance(error, LiverError) and not _missing):
        return
    kind = "" if isinstance(error, LiverError) else f"{type(error).__name__}: "
    record = logging.makeLogRecord({"levelno": logging.ERROR, "levelname": "ERROR", "name": __name__})
    record.msg = f"FAILED: {kind}{first_line(error)}"
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.FileHandler) and (Path(handler.baseFilename).parent / NAMES.config).is_file():
            handler.emit(record)  # not to the console, which shows the error itself


def _is_empty_log_or_lock(path: Path, names: RunFolder) -> bool:
    is_known = path == names.lock or (path.parent == names.path and path.suffix in (".log", ".lock"))
    return is_known and path.is_file() and not path.is_symlink() and path.stat().st_size == 0


def _close_log(folder: Path) -> None:
    root = logging.getLogger()
    for handler in list(root.handlers):
        if isinstance(handler, logging.FileHandler) and Path(handler.baseFilename).parent == folder:
            root.removeHandler(handler)
            handler.close()
