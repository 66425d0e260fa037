"""Reading of the loops of experiments/active_learning, on curves whose answers are known."""

from pathlib import Path

import pytest

from experiments.active_learning.loops import ROUNDS, Curve, areas, curves, effort_at, merge, rows_of_loop


def row(strategy: str, seed: int, number: int, patient: str, liver: str, slices: int = 100) -> dict[str, str]:
    return {
        "strategy": strategy,
        "seed": str(seed),
        "round": str(number),
        "cases": "3",
        "slices": str(slices * number),
        "slices_changed": "1",
        "voxels": "1",
        "contour_mm": str(1000 * number),
        "patient": patient,
        "liver": liver,
        "tumour": "",
    }


ROWS = [row("random", seed, n, patient, str(0.1 * n)) for seed in (0, 1) for n in (1, 2, 3, 4) for patient in "45"]


def test_area_is_a_patients_mean_over_rounds_and_a_dice_that_is_undefined_is_left_out() -> None:
    table = areas(ROWS, "liver", range(1, ROUNDS + 1))
    assert table["random"][0] == pytest.approx({"4": 0.25, "5": 0.25})
    assert areas(ROWS, "tumour", range(1, ROUNDS + 1)) == {}


def test_curves_are_means_over_the_seeds_that_all_strategies_have() -> None:
    margin = [row("margin", 0, n, "4", "0.5", slices=50) for n in (1, 2, 3, 4)]
    later = [{**each, "liver": "1.0"} if each["seed"] == "1" else each for each in ROWS]
    found = curves([*later, *margin])
    assert found["random"].dice["liver"] == pytest.approx([0.1, 0.2, 0.3, 0.4]), "seed 1 is of random alone"
    assert found["margin"].effort["slices"] == [50, 100, 150, 200]


def test_effort_is_where_a_curve_first_reaches_a_dice() -> None:
    curve = Curve({"slices": [100, 200, 300, 400]}, {"liver": [0.2, 0.4, 0.3, 0.8]})
    assert effort_at(curve, "liver", 0.3, "slices") == pytest.approx(150)
    assert effort_at(curve, "liver", 0.1, "slices") == 100
    assert effort_at(curve, "liver", 0.6, "slices") == pytest.approx(360)
    assert effort_at(curve, "liver", 0.9, "slices") is None


def test_a_loop_that_is_found_again_replaces_its_rows(tmp_path: Path) -> None:
    merge(tmp_path / "results.csv", ROWS)
    again = [row("random", 1, n, patient, "0.9") for n in (1, 2, 3, 4) for patient in "45"]
    merged = merge(tmp_path / "results.csv", again)
    assert len(merged) == len(ROWS)
    assert {each["liver"] for each in merged if each["seed"] == "1"} == {"0.9"}


def test_an_unfinished_loop_has_no_rows(tmp_path: Path) -> None:
    workspace = tmp_path / "seed-2-strategy-core-set-77a823d6"
    (workspace / "rounds" / "1").mkdir(parents=True)
    assert rows_of_loop(workspace) == []
    line = "{0},3,{0},1,1,{0}\n"
    text = "round,cases,slices,slices_changed,voxels,contour_mm\n" + "".join(line.format(n) for n in (1, 2, 3, 4))
    (workspace / "curve.csv").write_text(text)
    for n in (1, 2, 3, 4):
        (workspace / "rounds" / str(n)).mkdir(exist_ok=True)
        (workspace / "rounds" / str(n) / "cases.csv").write_text("patient,structure,dice\n7,liver,0.5\n7,tumour,\n")
    rows = rows_of_loop(workspace)
    assert [(each["strategy"], each["seed"], each["round"], each["liver"], each["tumour"]) for each in rows] == [
        ("core_set", 2, str(n), "0.5", "") for n in (1, 2, 3, 4)
    ]
