"""The report of a loop, from its answers and scores."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from lightning_liver.active.curve import RoundScore
from lightning_liver.active.loop_state import Correction
from lightning_liver.active.report import REASONS, write_loop_report
from lightning_liver.config import folder
from lightning_liver.errors import LiverError

FIRST = Correction("a", "a", None, None, 40, 30, 1000, 20_000.0, None, None)
SECOND = Correction("b", "b", None, 1.5e-5, 50, 10, 400, 8000.0, 0.9, None)
THIRD = Correction("<c>&", "<c>&", None, 1e-5, 50, 6, 200, 4000.0, 0.95, 0.4)
ANSWERS = ([FIRST], [SECOND], [THIRD])
SCORES: Sequence[dict[str, float | None]] = (
    {"test/liver/dice_per_case": 0.7, "test/tumour/dice_per_case": 0.123},
    {"test/liver/dice_per_case": 0.8, "test/tumour/dice_per_case": 0.25},
    {"test/liver/dice_per_case": 0.925, "test/tumour/dice_per_case": 0.5},
)
POINTS = [RoundScore.of(n, ANSWERS[:n], metrics) for n, metrics in enumerate(SCORES, start=1)]


def page_of(place: Path, points: Any = POINTS, answers: Any = ANSWERS, **options: Any) -> str:
    usual = {"title": "phantoms", "strategy": "variance"}
    return write_loop_report(place, points, answers, **usual | options).read_text()


def text_of(page: str) -> str:
    """Return what is read on the page, without its style, script and drawings."""
    page = re.sub(r"<(style|script|svg)\b.*?</\1>", "", page, flags=re.S)
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def test_page_says_what_the_rounds_gave_and_cost(tmp_path: Path) -> None:
    text = text_of(page_of(tmp_path))
    for words in (
        "3 rounds with 3 cases and 140 slices: test Dice liver 0.925, tumour 0.500",
        "After round 3, with 3 cases and 140 slices; it was 0.123 after round 1, with 1 case and 40 slices.",
        "Chosen before any training, at random.",
        "Chosen with the network of round 2, by the highest mean variance of the probability",
        "b 1.50 × 10⁻⁵ 0.900 - 10 of 50 400 8.00",
        "Correcting the proposals took 8.0 m of contour per case in round 2 and 4.0 m of contour per case in round 3.",
        "1 drawn from nothing 1 30.0 1 000 20.00 - -",
        "no saving is stated",
        "There are no pictures of this round.",
    ):
        assert words in text, words
    assert "Time" not in text


def test_names_are_escaped_and_nothing_is_loaded(tmp_path: Path) -> None:
    page = page_of(tmp_path, title="<i>", next_step="correct <c>")
    assert "<c>" not in page
    assert "<i>" not in page
    assert "&lt;c&gt;&amp;" in page
    assert not re.search(r"(src|href)=\"(?!#|data:)", page)


def test_pictures_are_embedded_where_they_are_and_limited_in_number(tmp_path: Path) -> None:
    Image.new("RGB", (45, 20)).save(tmp_path / "b.png")
    page = page_of(tmp_path, pictures={(2, "b", None): tmp_path / "b.png", (1, "a", None): tmp_path / "none.png"})
    assert page.count('<img src="data:image/webp') == 1
    many = [replace(SECOND, z=z) for z in range(50)]
    pictures = {(2, "b", z): tmp_path / "b.png" for z in range(50)}
    page = page_of(tmp_path, answers=([FIRST], many), pictures=pictures)
    assert page.count("<img") == 30
    assert "The first 30 of 50 pictures" in page
    (tmp_path / "b.png").write_bytes(b"")
    with pytest.raises(LiverError, match=r"b\.png: not a picture"):
        page_of(tmp_path, pictures={(2, "b", None): tmp_path / "b.png"})


def test_a_loop_of_slices_names_them_from_1(tmp_path: Path) -> None:
    text = text_of(page_of(tmp_path, answers=([FIRST], [replace(SECOND, z=6, slices_shown=1)]), strategy="entropy"))
    assert "Round 2: 1 slice" in text
    assert "b 7 1.50 × 10⁻⁵" in text


def test_an_expert_s_cases_wait_and_have_their_time(tmp_path: Path) -> None:
    text = text_of(
        page_of(
            tmp_path,
            POINTS[:2],
            ANSWERS[:2],
            waiting=[("d", None, 0.25)],
            next_step="Correct the masks, then type liver-active action=accept",
            minutes={(2, "b", None): 12.4},
        )
    )
    assert "Round 3: 1 case" in text
    assert "d 0.250 - - waiting - -" in text
    assert "not trained yet" in text
    assert "Next Correct the masks" in text
    assert "10 of 50 400 8.00 12" in text
    assert "2 rounds with 2 cases" in text
    partly = text_of(page_of(tmp_path, POINTS[:1], ANSWERS[:2], waiting=[("d", None, 0.25)]))
    assert "Round 2: 2 cases" in partly
    assert "Waiting for a correction 1" in partly


@pytest.mark.parametrize(
    ("points", "answers", "told"),
    [
        ([], [], "Nothing was asked for yet"),
        ([], [[FIRST]], "No round was trained yet; 1 case and 40 slices are labelled"),
        ([RoundScore.of(1, [[FIRST]], {})], [[FIRST]], "the loop has no test cases with labels"),
        ([RoundScore.of(1, [[FIRST]], {"test/liver/dice_per_case": 0.5})], [[FIRST]], "No test Dice of the tumour"),
        (POINTS[:1], [[FIRST]], "Nothing was proposed yet"),
    ],
)
def test_what_is_missing_is_said(tmp_path: Path, points: Any, answers: Any, told: str) -> None:
    assert told in text_of(page_of(tmp_path, points, answers))


def test_every_strategy_has_a_reason_and_ones_own_is_named(tmp_path: Path) -> None:
    assert {path.stem for path in (folder() / "strategy").glob("*.yaml")} == set(REASONS)
    assert "by the strategy mine." in text_of(page_of(tmp_path, strategy="mine"))
