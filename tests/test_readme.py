"""The first page: its length, and its commands as they are typed."""

import re
import shlex
from pathlib import Path

import pytest

from lightning_liver.config import compose, folder

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "README.md").read_text()
TRAINING = re.findall(r"^    python train\.py (.+?)(?:\s+#.*)?$", PAGE, re.M)
DISTRIBUTION = r"pip install ['\"]?lightning-liver\b"


def test_first_page_is_short() -> None:
    assert len(PAGE.splitlines()) <= 130


@pytest.mark.parametrize("command", TRAINING)
def test_trainings_of_the_first_page_compose(command: str) -> None:
    arguments = [each for each in shlex.split(command.replace("$HOME", "/home/me")) if not each.startswith("-")]
    cfg = compose("train", [each.replace("bce,dice", "bce").replace("0,1", "0") for each in arguments])
    if "max_minutes" in command:
        assert cfg.trainer.max_minutes in (5, 10)


def test_first_page_names_every_command() -> None:
    names = re.findall(r"^(liver-[a-z-]+) =", (ROOT / "pyproject.toml").read_text(), re.M)
    assert not [name for name in names if name not in PAGE]


def test_links_of_the_first_page_exist() -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", PAGE) if "://" not in link]
    assert links
    assert not [link for link in links if not (ROOT / link.partition("#")[0]).exists()]


def test_nothing_is_installed_from_an_index_that_lacks_the_project() -> None:
    places = [ROOT / "README.md", ROOT / "Makefile", *(ROOT / "lightning_liver").rglob("*.py")]
    places += [*(ROOT / "lightning_liver").rglob("*.md"), *folder().rglob("*"), *(ROOT / "experiments").rglob("*.md")]
    texts = {path: path.read_text() for path in places if path.is_file()}
    assert not [str(path) for path, text in texts.items() if re.search(DISTRIBUTION, text)]


def test_each_figure_of_the_page_of_answers_stands_in_the_study_that_it_links() -> None:
    page = (ROOT / "experiments" / "README.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| ") and re.search(r"\d\.\d\d", line.split("|")[2])]
    assert len(rows) > 8
    for row in rows:
        cells = row.split("|")
        studies = re.findall(r"\]\((\w+)/", row) or re.findall(r"experiments[./](\w+)", cells[4])
        text = "".join((ROOT / "experiments" / study / "README.md").read_text() for study in studies)
        for figure in re.findall(r"(?<!p < )\d\.\d\d\d?", cells[2].replace("reach 0.05", "")):
            assert figure in text, f"{figure} is not in {studies}"
