"""The part of a README that a command fills in: between two marks, and nothing else."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lightning_liver.errors import LiverError
from lightning_liver.files import write_whole

BEGIN, END = "<!-- liver-compare -->", "<!-- /liver-compare -->"


@dataclass(frozen=True)
class Block:
    """What stands between the marks: the command, lines of Markdown as ![alt](picture.png), and what it printed."""

    command: str
    text: str
    images: Sequence[str] = ()

    def markdown(self) -> str:
        return "\n\n".join([f"    {self.command}", *self.images, f"```text\n{self.text}\n```"])


def check_marks(readme: Path) -> None:
    """Refuse a README that has no place for a block.

    Raises:
        LiverError: it is not there, or has not each mark once and in order.
    """
    if not readme.is_file():
        raise LiverError(f"--write {readme}: no such file. Make it, with the lines {BEGIN} and {END} in it.")
    text = readme.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise LiverError(f"--write {readme}: it needs the lines {BEGIN} and {END}, once each, in this order.")


def write_block(readme: Path, block: Block) -> None:
    """Put a block in the place of what stands between the marks.

    Raises:
        LiverError: as check_marks.
    """
    check_marks(readme)
    part = f"{BEGIN}\n\n{block.markdown()}\n\n{END}"
    write_whole(readme, re.sub(f"{BEGIN}.*{END}", lambda _: part, readme.read_text(encoding="utf-8"), flags=re.DOTALL))
