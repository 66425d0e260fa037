"""The part of a README that a command fills in: between two marks, and nothing else."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lightning_liver.errors import LiverError
from lightning_liver.files import write_whole

COMPARE = "liver-compare"


@dataclass(frozen=True)
class Block:
    """What stands between the marks: the command, lines of Markdown as ![alt](picture.png), and what it printed."""

    command: str
    text: str
    images: Sequence[str] = ()

    def markdown(self) -> str:
        return "\n\n".join([f"    {self.command}", *self.images, f"```text\n{self.text}\n```"])


def marks(name: str = COMPARE) -> tuple[str, str]:
    """The lines between which the command of this name writes."""
    return f"<!-- {name} -->", f"<!-- /{name} -->"


def check_marks(readme: Path, name: str = COMPARE) -> None:
    """Refuse a README that has no place for a block.

    Raises:
        LiverError: it is not there, or has not each mark once and in order.
    """
    begin, end = marks(name)
    if not readme.is_file():
        raise LiverError(f"--write {readme}: no such file. Make it, with the lines {begin} and {end} in it.")
    text = readme.read_text(encoding="utf-8")
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise LiverError(f"--write {readme}: it needs the lines {begin} and {end}, once each, in this order.")


def write_block(readme: Path, block: Block, name: str = COMPARE) -> None:
    """Put a block in the place of what stands between the marks of a name.

    Raises:
        LiverError: as check_marks.
    """
    check_marks(readme, name)
    begin, end = marks(name)
    part = f"{begin}\n\n{block.markdown()}\n\n{end}"
    write_whole(readme, re.sub(f"{begin}.*{end}", lambda _: part, readme.read_text(encoding="utf-8"), flags=re.DOTALL))
