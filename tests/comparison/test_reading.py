"""What stands beside Dice per case."""

import json
from pathlib import Path

import pytest

from lightning_liver.comparison.reading import NOTHING_FOUND, NOTHING_PREDICTED, empty_cases, reading_text, remark
from lightning_liver.comparison.results import read_results, write_results
from lightning_liver.comparison.runs import Score, read_runs
from tests.report.run_folders import write_run


def score(configuration: str, case: str, dice: float, voxels: tuple[int, int, int] | None = None) -> Score:
    return Score(configuration, configuration, 0, 0, case, case, "tumour", dice, "", *(voxels or ()))


def test_a_network_that_predicts_nothing_is_marked_and_stands_last() -> None:
    rows = [
        *(score("loss=focal", "A", 0.0, (50, 0, 0)), score("loss=focal", "B", 1.0, (0, 0, 0))),
        *(score("loss=dice", "A", 0.4, (50, 50, 20)), score("loss=dice", "B", 0.0, (0, 10, 0))),
    ]
    text = reading_text(rows, "tumour", {"loss=dice": {"recall_50": 0.5}})
    lines = text.splitlines()
    assert "1 of 2 cases have no tumour" in lines[0]
    dice, focal = lines[4:6]
    assert dice.split()[:4] == ["loss=dice", "0.400", f"{2 * 20 / (50 + 60):.3f}", "0.500"]
    assert focal.startswith("loss=focal")
    assert focal.endswith(NOTHING_PREDICTED)


def test_of_earlier_results_a_dice_of_one_tells_the_empty_cases() -> None:
    rows = [score("a", "A", 0.0), score("a", "B", 1.0), score("b", "A", 0.3), score("b", "B", 0.0)]
    assert empty_cases(rows) == {"B"}
    assert remark(rows[:2]) == NOTHING_FOUND
    assert remark(rows[2:]) == ""
    assert "global" not in reading_text(rows, "tumour", {})


def test_nothing_stands_beside_scores_that_hide_nothing() -> None:
    assert reading_text([score("a", "A", 0.3), score("b", "A", 0.4)], "tumour", {}) == ""


def test_voxels_and_lesions_are_kept_in_results(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", "dice", {("A", "1"): 0.5})
    (run / "cases.csv").write_text(
        "case,patient,structure,dice,true_voxels,predicted_voxels,common_voxels\n1,A,tumour,0.5,10,6,4\n"
    )
    (run / "metrics.json").write_text(json.dumps({"epochs": 3, "test/lesion/recall_50": 0.25}))
    (before,) = read_runs([tmp_path])
    write_results(tmp_path / "results.csv", [before])
    (after,) = read_results(tmp_path / "results.csv")
    assert after.lesions == before.lesions == {"recall_50": 0.25}
    (case,) = [case for case in after.cases if case.structure == "tumour"]
    assert case[4:] == (10, 6, 4)


def test_two_numbers_of_voxels_are_refused(tmp_path: Path) -> None:
    from lightning_liver.errors import LiverError

    write_results(tmp_path / "results.csv", read_runs([write_run(tmp_path / "run", "dice", {("A", "1"): 0.5})]))
    text = (tmp_path / "results.csv").read_text().replace('""tumour"":0.5', '""tumour"":0.5,""tumour_voxels"":[1,2]')
    (tmp_path / "results.csv").write_text(text)
    with pytest.raises(LiverError, match="tumour_voxels needs 3 numbers"):
        read_results(tmp_path / "results.csv")
