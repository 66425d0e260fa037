"""The block of a README between two marks, which a command fills in."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lightning_liver.errors import LiverError
from lightning_liver.files import write_whole

COMPARE = "liver-compare"


@dataclass(frozen=True)
class MarkedBlock:
    """Content of a block: the command, Markdown of pictures, and the printed text."""

    command: str
    text: str
    images: Sequence[str] = ()

    def markdown(self) -> str:
        return "\n\n".join([f"    {self.command}", *self.images, f"```text\n{self.text}\n```"])


def marks(name: str = COMPARE) -> tuple[str, str]:
    """Return the lines that enclose the block of a command."""
    return f"<!-- {name} -->", f"<!-- /{name} -->"


def check_marks(readme: Path, name: str = COMPARE) -> None:
    """Refuse a README without place for a block.

    Raises:
        LiverError: it is missing, or does not have each mark once and in order.
    """
    begin, end = marks(name)
    if not readme.is_file():
        raise LiverError(f"--write {readme}: no such file; make it, with the lines {begin} and {end}")
    text = readme.read_text(encoding="utf-8")
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise LiverError(f"--write {readme}: expected the lines {begin} and {end}, once each, in this order; add them")


def write_block(readme: Path, block: MarkedBlock, name: str = COMPARE) -> None:
    """Replace the block between the marks of a command.

    Raises:
        LiverError: as check_marks.
    """
    check_marks(readme, name)
    begin, end = marks(name)
    part = f"{begin}\n\n{block.markdown()}\n\n{end}"
    write_whole(readme, re.sub(f"{begin}.*{end}", lambda _: part, readme.read_text(encoding="utf-8"), flags=re.DOTALL))
