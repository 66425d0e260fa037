"""Files written whole or not at all, locks, and files below a folder."""

import errno
import glob
import os
import platform
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from warnings import warn

from filelock import FileLock

from lightning_liver.errors import LiverError, LiverWarning, first_line, system_error
from lightning_liver.machine import cache_folder, is_running

if sys.platform != "win32":
    import fcntl


_NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL}


def required_path(option: str, given: object, wanted: str) -> Path:
    """Return the path that an option names, its ~ expanded.

    Args:
        wanted: what the path is expected to be, for the message.

    Raises:
        LiverError: the option is null.
    """
    if given is None:
        raise LiverError(f"{option}=null: expected {wanted}; give {option}=...")
    return Path(str(given)).expanduser()


def required_folder(option: str, given: object, wanted: str) -> Path:
    """Return the folder that an option names, its ~ expanded.

    Args:
        wanted: what the folder is expected to be, for the message.

    Raises:
        LiverError: the option is null, or there is no such folder.
    """
    folder = required_path(option, given, wanted)
    if not folder.is_dir():
        raise LiverError(f"{option}={given}: no such folder; give {wanted}")
    return folder


def required_run(given: object) -> Path:
    """Return the folder that `run` names.

    Raises:
        LiverError: it is null, or there is no such folder.
    """
    return required_folder("run", given, "a run folder")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a hidden name beside `path` to write to; on success flush it to the disk and rename it to `path`.

    Raises:
        OSError: with `path` as its file name, where a library met it and hides or does not name it.
    """
    partial = path.with_name(f".{path.name}.{platform.node()}.{os.getpid()}.partial")
    _clear_partials_of_the_dead(path)
    try:
        yield partial
        with partial.open("r+b") as file:  # Windows flushes what is open for writing alone
            os.fsync(file.fileno())
        partial.replace(path)
    except Exception as error:
        found = system_error(error)
        if found is None or found.filename not in (None, str(partial)):
            raise
        raise OSError(found.errno, found.strerror, str(path)) from error
    finally:
        with suppress(OSError):
            partial.unlink()


def _clear_partials_of_the_dead(path: Path) -> None:
    """Remove what processes of this machine that were killed while they wrote this file have left of it."""
    for partial in path.parent.glob(f".{glob.escape(f'{path.name}.{platform.node()}')}.*.partial"):
        process = partial.name.split(".")[-2]
        if process.isdecimal() and not is_running(int(process)):
            with suppress(OSError):
                partial.unlink()


def clear_partials(folder: Path) -> None:
    """Remove incomplete files of killed processes from a folder; the caller holds the folder's lock."""
    for partial in folder.glob(".*.partial"):
        partial.unlink(missing_ok=True)


def write_whole(path: Path, content: str | bytes) -> None:
    """Write text (UTF-8) or bytes under `path`, whole or not at all."""
    with replacing(path) as partial:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def held_lock(path: Path, *, timeout_s: float = -1) -> Iterator[None]:
    """Hold the lock of a file; where the file system has no locks, warn and go on without.

    Args:
        timeout_s: seconds to wait for another process; -1 waits for ever.

    Raises:
        filelock.Timeout: another process has held it for so long.
    """
    lock = FileLock(path)
    try:
        lock.acquire(timeout=timeout_s)
    except OSError as error:
        if isinstance(error, TimeoutError) or error.errno not in _NO_LOCKS:
            raise
        warn(
            f"{path.parent}: the file system has no locks ({error.strerror}); let no other command write there "
            "at the same time",
            LiverWarning,
            stacklevel=3,
        )
    try:
        yield
    finally:
        lock.release()


def fault_of_zip(path: Path) -> str | None:
    """Return what is wrong with a zip archive, as of torch.save, whose checksums torch.load does not compare."""
    try:
        with zipfile.ZipFile(path) as archive:
            wrong = archive.testzip()
    except Exception as error:  # a damaged archive raises whatever its bytes spell
        return first_line(error)
    return None if wrong is None else f"the checksum of {wrong} is wrong"


def is_held(lock: Path) -> bool:
    """Return True if a process holds a FileLock; False where that is unknown, as on Windows.

    Nothing is created, written or removed. The lock is shared for a moment, so whoever acquires it must retry.
    """
    if sys.platform == "win32":
        return False
    try:
        descriptor = os.open(lock, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # depends on the file system
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False


def refuse_elsewhere(option: str, folder: str | Path, mark: Path, *, away: bool = False) -> None:
    """Refuse to write into a folder that a run folder names, which may come from a stranger.

    Args:
        option: by which it is named.
        away: the folder is an address, which is never in the cache.
        mark: a file that a folder of this kind has; such a folder may be anywhere.

    Raises:
        LiverError: the folder is neither in the cache nor has the file.
    """
    cached = not away and Path(folder).resolve().is_relative_to(cache_folder().resolve())
    if not cached and not mark.is_file():
        raise LiverError(
            f"{option}={folder}: expected a folder in the cache, {cache_folder()}, or one with a {mark.name}, since a "
            "run folder may come from a stranger; if you know that this one may be written, add 'trust=[data.store]'"
        )


def refuse_links(folder: Path) -> None:
    """Refuse to write into a folder with links that lead out of it, as a stranger's may have.

    Raises:
        LiverError: the first such link.
    """
    real = folder.resolve()
    for place, below, names in os.walk(real):
        for path in (Path(place, name) for name in (*below, *names)):
            if path.is_symlink() and not path.resolve().is_relative_to(real):
                raise LiverError(
                    f"{path}: expected no link out of the folder, since what is written would go to {path.resolve()}; "
                    "put the file or folder itself there"
                )


def visible_files(root: Path) -> Iterator[Path]:
    """Yield files below root, following links to folders, without hidden ones (such as macOS's ._volume-3.nii)."""
    seen = set()  # a link can lead to a folder above it
    for folder, below, names in os.walk(root, followlinks=True, onerror=_warn_unreadable):
        real = Path(folder).resolve()
        below[:] = [] if real in seen else sorted(name for name in below if not name.startswith("."))
        if real not in seen:
            yield from (Path(folder, name) for name in sorted(names) if not name.startswith("."))
        seen.add(real)


def _warn_unreadable(error: OSError) -> None:
    """Warn instead of stopping, as for a disk's own lost+found."""
    warn(f"{error.filename}: folder cannot be read, skipped", LiverWarning, stacklevel=5)
