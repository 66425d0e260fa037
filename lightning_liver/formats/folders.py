"""Folders written whole or not at all."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from lightning_liver.errors import LiverError


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield a hidden folder beside `path` to write into; rename it to `path` on success, remove it on failure.

    Raises:
        LiverError: there is such a file or folder, unless it is an empty folder.
    """
    if path.is_file() or (path.is_dir() and any(path.iterdir())):
        raise LiverError(f"output={path}: expected a folder that does not exist yet; remove it, or name another")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(mkdtemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent))
    try:
        yield partial
        partial.chmod(0o755)
        partial.replace(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
