"""Addresses of fsspec, such as s3://bucket/lits, and the place of the copy of a file in the cache.

The place is `$LIVER_CACHE/remote/s3/bucket/lits/volume-0.nii`: its address follows from it.
"""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import fsspec
from fsspec.implementations.local import LocalFileSystem

from lightning_liver.errors import LiverError, first_line, system_error
from lightning_liver.machine import cache_folder

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+:(//|:)", re.IGNORECASE)
_PACKAGES = {"s3": "s3fs>=2024.6", "s3a": "s3fs>=2024.6"}  # as the extra s3 has it
_NO_CREDENTIALS = re.compile(r"credential|forbidden|access ?denied|signaturedoesnotmatch|invalidaccesskey", re.I)
_KEYS = {"s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE", "s3a": "AWS_PROFILE"}

for _library in ("aiobotocore", "botocore"):  # which tell each process where the credentials come from
    logging.getLogger(_library).setLevel(logging.WARNING)


def is_address(place: str | Path) -> bool:
    """Return True for an address of fsspec, such as s3://bucket/lits, False for a local path."""
    return _ADDRESS.match(str(place)) is not None


def is_mirrored(path: Path) -> bool:
    """Return True if a path is the place of a copy."""
    return path.absolute().is_relative_to(remote_root())


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
    return remote_root().joinpath(protocol, *parts)


def place_of(file: str) -> Path:
    """Return the place of a file's copy, given its address; a local path is returned as it is."""
    return mirror_of(file, "data.root") if is_address(file) else Path(file)


def address_of(path: Path) -> str:
    """Return the address of a copy's original."""
    protocol, *rest = path.absolute().relative_to(remote_root()).parts
    absolute = isinstance(fsspec.filesystem(protocol), LocalFileSystem)
    return f"{protocol}://{'/' * absolute}{'/'.join(rest)}"


def shown(path: Path) -> str:
    """Return a path as the user gave it: a copy's address, any other path itself."""
    return address_of(path) if is_mirrored(path) else str(path)


def one_process(path: Path) -> bool:
    """Return True if the originals exist in this process alone, as those of memory:// do."""
    return is_mirrored(path) and address_of(path).startswith("memory://")


def remote_root() -> Path:
    """Return the folder of all copies."""
    return cache_folder().absolute() / "remote"


@contextmanager
def remote(path: Path, *, writing: bool = False) -> Iterator[tuple[fsspec.AbstractFileSystem, str]]:
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
