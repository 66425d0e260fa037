import csv
import json
from pathlib import Path

import numpy as np
import pytest

from lightning_liver.tables import duration, text_table, write_csv, write_json_whole

ROWS = [
    {"case": "volume-3", "patient": "A", "structure": "liver", "dice": 0.9471234567, "true_ml": 1520.5},
    {"case": "volume-3", "patient": "A", "structure": "tumour", "dice": float("nan"), "true_ml": None},
    {"case": "12, odd", "patient": "B", "structure": "liver", "dice": 1.0, "lesions": 3},
]


def test_csv_has_empty_cells_for_undefined_values(tmp_path: Path) -> None:
    write_csv(tmp_path / "cases.csv", ROWS)
    with (tmp_path / "cases.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["case", "patient", "structure", "dice", "true_ml", "lesions"]
    assert [row["dice"] for row in rows] == ["0.9471234567", "", "1.0"]
    assert [row["true_ml"] for row in rows] == ["1520.5", "", ""]
    assert [row["lesions"] for row in rows] == ["", "", "3"]
    assert rows[2]["case"] == "12, odd"


def test_csv_without_rows_is_an_empty_file(tmp_path: Path) -> None:
    write_csv(tmp_path / "cases.csv", [])
    assert (tmp_path / "cases.csv").read_text().strip() == ""


def test_json_is_sorted_and_has_null_for_undefined_values(tmp_path: Path) -> None:
    scores = {"b": float("nan"), "a": np.float32(0.5), "d": float("inf"), "c": 3, "e": None, "f": "x", "g": True}
    write_json_whole(tmp_path / "metrics.json", scores)
    content = json.loads((tmp_path / "metrics.json").read_text())
    assert content == {"a": 0.5, "b": None, "c": 3, "d": None, "e": None, "f": "x", "g": True}
    assert list(content) == sorted(content)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("value", [{"deep": 1}, [1, 2]])
def test_json_refuses_nested_values(tmp_path: Path, value: object) -> None:
    with pytest.raises(TypeError, match="test/liver: expected a number"):
        write_json_whole(tmp_path / "metrics.json", {"test/liver": value})
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "cases.csv"
    write_csv(path, ROWS)
    before = path.read_bytes()
    with pytest.raises(UnicodeEncodeError):
        write_csv(path, [*ROWS, {"case": "\ud800"}])
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_text_table_aligns_words_left_and_numbers_right() -> None:
    rows = [{"case": "a", "dice": 0.5, "ml": 1520.25, "n": 3}, {"case": "volume-12", "dice": None, "ml": 7.0, "n": 12}]
    assert text_table(rows).splitlines() == [
        "case        dice        ml   n",
        "---------  -----  --------  --",
        "a          0.500  1520.250   3",
        "volume-12      -     7.000  12",
    ]


def test_text_table_without_rows_is_empty() -> None:
    assert text_table([]) == ""


def test_durations_are_in_the_unit_that_is_easy_to_read() -> None:
    assert [duration(seconds) for seconds in (0.2, 89, 90, 5399, 5400, 86400)] == [
        "1 s",
        "89 s",
        "2 min",
        "90 min",
        "1.5 hours",
        "24.0 hours",
    ]
