from pathlib import Path

import pytest

from lightning_liver.comparison.readme import MarkedBlock, check_marks, marks, write_block
from lightning_liver.errors import LiverError

BEGIN, END = marks()


def test_block_is_command_text_and_images_and_the_rest_stays(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"# Question\n{BEGIN}\nstale\n{END}\nEnd \\1\n")
    write_block(
        readme, MarkedBlock("liver-compare study", "a\\1 table", ["![means](means.svg)", "![ranks](ranks.svg)"])
    )
    assert readme.read_text() == (
        f"# Question\n{BEGIN}\n\n    liver-compare study\n\n![means](means.svg)\n\n![ranks](ranks.svg)\n\n"
        f"```text\na\\1 table\n```\n\n{END}\nEnd \\1\n"
    )
    write_block(readme, MarkedBlock("liver-compare", "table"))
    assert "svg" not in readme.read_text()


@pytest.mark.parametrize("text", ["", BEGIN, END, f"{END}{BEGIN}", f"{BEGIN}{END}{BEGIN}{END}"])
def test_readme_without_its_marks_is_refused_and_unchanged(tmp_path: Path, text: str) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(text)
    with pytest.raises(LiverError, match="once each, in this order"):
        write_block(readme, MarkedBlock("liver-compare", "table"))
    assert readme.read_text() == text


def test_missing_readme_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LiverError, match="no such file"):
        check_marks(tmp_path / "README.md")
