"""Local copies of files that lie at an address, such as s3://bucket/lits, made when they are first read.

A copy has its place in the cache, `$LIVER_CACHE/remote/s3/bucket/lits/volume-0.nii`, from which its address follows.
Its time of change holds the version of its original, by which an outdated copy is found, and its time of access the
last use. All copies together take at most $LIVER_CACHE_GB: those used longest ago are removed first. fsspec's own file
caches have no bound in bytes, and a process may read a file there that another has not written to its end.
"""

import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, TypeVar

import fsspec
from fsspec.implementations.local import LocalFileSystem
from isal.isal_zlib import crc32

from lightning_liver.errors import LiverError, first_line, system_error
from lightning_liver.files import held_lock, replacing
from lightning_liver.machine import cache_folder

MOST_GB = 100.0  # of copies, unless $LIVER_CACHE_GB says otherwise
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+:(//|:)", re.IGNORECASE)
_ATTEMPTS = 3  # at a file that other processes may remove, since it does not fit
_PACKAGES = {"s3": "s3fs>=2024.6", "s3a": "s3fs>=2024.6"}  # as the extra s3 has it
_NO_CREDENTIALS = re.compile(r"credential|forbidden|access ?denied|signaturedoesnotmatch|invalidaccesskey", re.I)
_KEYS = {"s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE", "s3a": "AWS_PROFILE"}

_VERSIONS = ("ETag", "etag", "mtime", "LastModified", "last_modified", "updated", "created")  # the most exact first

for _library in ("aiobotocore", "botocore"):  # which tell each process where the credentials come from
    logging.getLogger(_library).setLevel(logging.WARNING)

T = TypeVar("T")


class Facts(NamedTuple):
    """What tells a changed file from an unchanged one: bytes, and a number made from its ETag or its time of change."""

    size: int
    version: int


def is_address(place: str | Path) -> bool:
    """Return True for an address of fsspec, such as s3://bucket/lits, False for a local path."""
    return _ADDRESS.match(str(place)) is not None


def is_mirrored(path: Path) -> bool:
    """Return True if a path is the place of a copy."""
    return path.absolute().is_relative_to(_root())


def mirror_of(address: str, option: str) -> Path:
    """Return the folder of the copies of an address.

    Args:
        option: by which the user gave the address, for messages.

    Raises:
        LiverError: a protocol that is unknown, or whose package is missing; an address without a folder.
    """
    if "::" in address:
        raise LiverError(f"{option}={address}: expected an address without '::'; give the address of the folder itself")
    protocol = address.partition("://")[0].lower()
    try:
        _, path = fsspec.url_to_fs(address)
    except ImportError as error:
        package = _PACKAGES.get(protocol)
        cure = f"pip install '{package}'" if package else first_line(error)
        raise LiverError(f"{option}={address}: needs a package that is not installed; do {cure}") from None
    except ValueError as error:
        raise LiverError(
            f"{option}={address}: expected a folder or an address such as s3://bucket/folder ({first_line(error)})"
        ) from None
    parts = PurePosixPath(str(path)).parts
    parts = parts[1:] if parts[:1] == ("/",) else parts
    if not parts or ".." in parts:
        raise LiverError(f"{option}={address}: expected an address with a folder, such as {protocol}://bucket/folder")
    return _root().joinpath(protocol, *parts)


def place_of(file: str) -> Path:
    """Return the place of a file's copy, given its address; a local path is returned as it is."""
    return mirror_of(file, "data.root") if is_address(file) else Path(file)


def address_of(path: Path) -> str:
    """Return the address of a copy's original."""
    protocol, *rest = path.absolute().relative_to(_root()).parts
    absolute = isinstance(fsspec.filesystem(protocol), LocalFileSystem)
    return f"{protocol}://{'/' * absolute}{'/'.join(rest)}"


def shown(path: Path) -> str:
    """Return a path as the user gave it: a copy's address, any other path itself."""
    return address_of(path) if is_mirrored(path) else str(path)


def one_process(path: Path) -> bool:
    """Return True if the originals exist in this process alone, as those of memory:// do."""
    return is_mirrored(path) and address_of(path).startswith("memory://")


def files_below(folder: Path, option: str) -> list[Path]:
    """Return the places of all files below an address, sorted, without hidden ones; nothing is copied.

    Raises:
        LiverError: the address cannot be read, or has no file.
    """
    found = sorted(listing(folder))
    if not found:
        raise LiverError(f"{option}={address_of(folder)}: there is no file below this address; correct it")
    return found


def facts(path: Path) -> Facts:
    """Return size and version of a copy's original.

    Raises:
        LiverError: the address cannot be read.
        FileNotFoundError: there is no original.
    """
    with _remote(path) as (files, original):
        return _facts(files.info(original))


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
    expected = facts(path)
    if _facts_of_copy(path) != expected:
        path.parent.mkdir(parents=True, exist_ok=True)
        with held_lock(path.with_name(f".{path.name}.lock")):
            if _facts_of_copy(path) != expected:
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
        if path.match(pattern) and _facts_of_copy(path) != expected:
            local(path)


def publish(path: Path, *, staged: Path | None = None) -> None:
    """Write a file to the address of its place in the mirror, unless the original is the same.

    Args:
        staged: where the file lies now; None is its place.

    Raises:
        LiverError: the address cannot be written.
    """
    file = staged or path
    with _remote(path, writing=True) as (files, original):
        if staged is None:
            with suppress(FileNotFoundError):
                if _facts(files.info(original)) == _facts_of_copy(path):
                    return
        files.makedirs(files._parent(original), exist_ok=True)
        files.put_file(str(file), original)
        files.invalidate_cache()
        _stamp(file, _facts(files.info(original)))


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


def _root() -> Path:
    return cache_folder().absolute() / "remote"


@contextmanager
def _remote(path: Path, *, writing: bool = False) -> Iterator[tuple[fsspec.AbstractFileSystem, str]]:
    """Yield the file system of a copy's original and its path there.

    The file system is asked for each time, since those with a thread of their own do not survive a fork.

    Raises:
        LiverError: for any error of the file system but FileNotFoundError.
    """
    address = address_of(path)
    try:
        files, original = fsspec.url_to_fs(address)
        yield files, original
    except (LiverError, FileNotFoundError):
        raise
    except Exception as error:  # libraries raise whatever their server or the network spells
        raise LiverError(_explain(error, address, "written" if writing else "read")) from error


def _explain(error: BaseException, address: str, done: str) -> str:
    reason, protocol = first_line(error), address.partition("://")[0]
    if (full := system_error(error)) is not None and done == "written":
        return f"{address}: cannot be written ({full.strerror}); free some space there, or set another data.store"
    if isinstance(error, PermissionError) or _NO_CREDENTIALS.search(f"{type(error).__name__} {reason}"):
        keys = _KEYS.get(protocol)
        cure = f"set {keys} to an account that may" if keys else "give this account the right to it"
        return f"{address}: cannot be {done} without the right credentials ({reason}); {cure}"
    server = "AWS_ENDPOINT_URL and " if protocol in _PACKAGES else ""
    return f"{address}: cannot be {done} ({reason}); check {server}the network, and give the same command again"


def listing(folder: Path) -> dict[Path, Facts]:
    """Return the places of the files below an address, without hidden ones, with their facts.

    Raises:
        LiverError: the address cannot be read.
    """
    try:
        with _remote(folder) as (files, original):
            files.invalidate_cache()
            found: Mapping[str, Mapping[str, Any]] = files.find(original, detail=True)
    except FileNotFoundError:
        return {}
    files_found = {}
    for name, info in found.items():
        parts = PurePosixPath(name).relative_to(original).parts
        if parts and not any(part.startswith(".") or "\\" in part for part in parts):  # no key leads out of the mirror
            files_found[folder.joinpath(*parts)] = _facts(info)
    return files_found


def _facts(info: Mapping[str, Any]) -> Facts:
    """Return the facts of an entry of fsspec, whose file systems name versions differently."""
    given = next((info[name] for name in _VERSIONS if info.get(name)), 0)
    if isinstance(given, datetime):
        given = given.timestamp()
    return Facts(int(info["size"]), int(given * 1e6) if isinstance(given, int | float) else crc32(str(given).encode()))


def _facts_of_copy(path: Path) -> Facts | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return Facts(found.st_size, found.st_mtime_ns // 1000)


def _download(path: Path, expected: Facts) -> None:
    with _remote(path) as (files, original), _explaining_disk(path), replacing(path) as partial:
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


def _stamp(path: Path, of_original: Facts) -> None:
    os.utime(path, ns=(time.time_ns(), of_original.version * 1000))


def _note_use(path: Path) -> None:
    """Set the time of the last use, whatever the file system does by itself."""
    os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))


def trim(keep: Path) -> None:
    """Remove the copies used longest ago until all take no more than they may; `keep` stays in any case."""
    copies = []
    for folder, below, names in os.walk(_root()):
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
