"""Files that are there whole or not at all, and whether a process holds one."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from warnings import warn

from lightning_liver.errors import LiverWarning

if sys.platform != "win32":
    import fcntl


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A hidden name beside `path` to write to; on success it is flushed to the disk and takes the place of `path`."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        with suppress(OSError):
            partial.unlink()


def clear_partials(folder: Path) -> None:
    """Remove what killed processes left of files in a folder; the caller holds the folder's lock."""
    for partial in folder.glob(".*.partial"):
        partial.unlink(missing_ok=True)


def write_whole(path: Path, content: str | bytes) -> None:
    """Write text (UTF-8) or bytes under `path`, whole or not at all."""
    with replacing(path) as partial:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)


def is_held(lock: Path) -> bool:
    """Whether a process holds a FileLock now; False where that cannot be known, as on Windows.

    Nothing is made, written or removed: the lock is shared for a moment, for which whoever takes it must have patience.
    """
    if sys.platform == "win32":
        return False
    try:
        descriptor = os.open(lock, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # which one depends on the file system
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False


def visible_files(root: Path) -> Iterator[Path]:
    """Files below root, links to folders followed, hidden ones (such as macOS's ._volume-3.nii) left out."""
    seen = set()  # a link can lead to a folder above it
    for folder, below, names in os.walk(root, followlinks=True, onerror=_warn_unreadable):
        real = Path(folder).resolve()
        below[:] = [] if real in seen else sorted(name for name in below if not name.startswith("."))
        if real not in seen:
            yield from (Path(folder, name) for name in sorted(names) if not name.startswith("."))
        seen.add(real)


def _warn_unreadable(error: OSError) -> None:
    """A disk's own lost+found is no reason to stop."""
    warn(f"{error.filename}: a folder that cannot be read, it is left out", LiverWarning, stacklevel=5)
