"""Local copies of files that lie at an address, such as s3://bucket/lits, made when they are first read.

The time of change of a copy holds the version of its original, by which an outdated copy is found, and its time of
access the last use. All copies together take at most $LIVER_CACHE_GB: those used longest ago are removed first.
fsspec's own file caches have no bound in bytes, and a process may read a file there that another is still writing.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, TypeVar

from isal.isal_zlib import crc32

from lightning_liver.data.address import address_of, is_mirrored, remote, remote_root
from lightning_liver.errors import LiverError
from lightning_liver.files import held_lock, replacing

MOST_GB = 100.0  # of copies, unless $LIVER_CACHE_GB says otherwise
_ATTEMPTS = 3  # at a file that other processes may remove, since it does not fit
_VERSIONS = ("ETag", "etag", "mtime", "LastModified", "last_modified", "updated", "created")  # the most exact first

T = TypeVar("T")


class FileVersion(NamedTuple):
    """What tells a changed file from an unchanged one: bytes, and a number made from its ETag or its time of change."""

    size: int
    version: int


def files_below(folder: Path, option: str) -> list[Path]:
    """Return the places of all files below an address, sorted, without hidden ones; nothing is copied.

    Raises:
        LiverError: the address cannot be read, or has no file.
    """
    found = sorted(listing(folder))
    if not found:
        raise LiverError(f"{option}={address_of(folder)}: there is no file below this address; correct it")
    return found


def version_of(path: Path) -> FileVersion:
    """Return size and version of a copy's original.

    Raises:
        LiverError: the address cannot be read.
        FileNotFoundError: there is no original.
    """
    with remote(path) as (files, original):
        return _version(files.info(original))


def local(path: Path, *, renew: bool = True) -> Path:
    """Return a path to read from, after making or renewing its copy; a path that is no copy's is returned as it is.

    Args:
        renew: compare an existing copy with its original; False takes it as it is, without asking the server.

    Raises:
        LiverError: the address cannot be read, or the disk is full.
        FileNotFoundError: there is no original.
    """
    if not is_mirrored(path):
        return path
    if not renew:
        with suppress(FileNotFoundError):
            _note_use(path)
            return path
    expected = version_of(path)
    if _version_of_copy(path) != expected:
        path.parent.mkdir(parents=True, exist_ok=True)
        with held_lock(path.with_name(f".{path.name}.lock")):
            if _version_of_copy(path) != expected:
                _download(path, expected)
    _note_use(path)
    return path


def reading(path: Path, read: Callable[[Path], T], *, renew: bool = True) -> T:
    """Return what `read` makes of a file; its copy is made anew if another process removed it meanwhile.

    Raises:
        LiverError: the address cannot be read; the errors of `read`.
    """
    for attempt in range(_ATTEMPTS):
        try:
            return read(local(path, renew=renew))
        except Exception:
            if path.exists() or not is_mirrored(path) or attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable")


def refresh(folder: Path, pattern: str) -> None:
    """Renew the copies of the files below an address whose names match, and remove those without an original.

    Raises:
        LiverError: the address cannot be read, or the disk is full.
    """
    found = listing(folder)
    for path in folder.rglob(pattern):
        if path not in found:
            path.unlink(missing_ok=True)
    for path, expected in found.items():
        if path.match(pattern) and _version_of_copy(path) != expected:
            local(path)


def publish(path: Path, *, staged: Path | None = None) -> None:
    """Write a file to the address of its place in the mirror, unless the original is the same.

    Args:
        staged: where the file lies now; None is its place.

    Raises:
        LiverError: the address cannot be written.
    """
    file = staged or path
    with remote(path, writing=True) as (files, original):
        if staged is None:
            with suppress(FileNotFoundError):
                if _version(files.info(original)) == _version_of_copy(path):
                    return
        files.makedirs(files._parent(original), exist_ok=True)
        files.put_file(str(file), original)
        files.invalidate_cache()
        _stamp(file, _version(files.info(original)))


def limit_bytes() -> float:
    """Return the most bytes that all copies may take.

    Raises:
        LiverError: $LIVER_CACHE_GB is not a positive number.
    """
    given = os.environ.get("LIVER_CACHE_GB", "")
    try:
        most = float(given or MOST_GB)
    except ValueError:
        most = 0.0
    if not most > 0:
        raise LiverError(f"LIVER_CACHE_GB={given}: expected a number of gigabytes above 0; correct the variable")
    return most * 1e9


def listing(folder: Path) -> dict[Path, FileVersion]:
    """Return the places of the files below an address, without hidden ones, with their versions.

    Raises:
        LiverError: the address cannot be read.
    """
    try:
        with remote(folder) as (files, original):
            files.invalidate_cache()
            found: Mapping[str, Mapping[str, Any]] = files.find(original, detail=True)
    except FileNotFoundError:
        return {}
    files_found = {}
    for name, info in found.items():
        parts = PurePosixPath(name).relative_to(original).parts
        if parts and not any(part.startswith(".") or "\\" in part for part in parts):  # no key leads out of the mirror
            files_found[folder.joinpath(*parts)] = _version(info)
    return files_found


def _version(info: Mapping[str, Any]) -> FileVersion:
    """Return the version of an entry of fsspec, whose file systems name it differently."""
    given = next((info[name] for name in _VERSIONS if info.get(name)), 0)
    if isinstance(given, datetime):
        given = given.timestamp()
    return FileVersion(
        int(info["size"]), int(given * 1e6) if isinstance(given, int | float) else crc32(str(given).encode())
    )


def _version_of_copy(path: Path) -> FileVersion | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return FileVersion(found.st_size, found.st_mtime_ns // 1000)


def _download(path: Path, expected: FileVersion) -> None:
    with remote(path) as (files, original), _explaining_disk(path), replacing(path) as partial:
        files.get_file(original, str(partial))
        if partial.stat().st_size != expected.size:
            raise OSError(f"it has {expected.size} bytes, of which {partial.stat().st_size} came")
    _stamp(path, expected)
    trim(keep=path)


@contextmanager
def _explaining_disk(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.filename is None or not str(error.filename).startswith(str(path.parent)):
            raise
        raise LiverError(
            f"{path}: the copy cannot be written ({error.strerror}); free some space, or set LIVER_CACHE to a folder "
            "on another disk"
        ) from error


def _stamp(path: Path, of_original: FileVersion) -> None:
    os.utime(path, ns=(time.time_ns(), of_original.version * 1000))


def _note_use(path: Path) -> None:
    """Set the time of the last use, whatever the file system does by itself."""
    os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))


def trim(keep: Path) -> None:
    """Remove the copies used longest ago until all take no more than they may; `keep` stays in any case."""
    copies = []
    for folder, below, names in os.walk(remote_root()):
        below[:] = [name for name in below if not name.startswith(".")]  # cases that are being written
        for name in names:
            if not name.startswith(".") and not name.endswith(".json"):
                with suppress(FileNotFoundError):
                    path = Path(folder, name)
                    found = path.stat()
                    copies.append((found.st_atime_ns, found.st_size, path))
    excess = sum(size for _, size, _ in copies) - limit_bytes()
    for _, size, path in sorted(copies):
        if excess <= 0:
            return
        if path != keep:
            path.unlink(missing_ok=True)
            excess -= size
