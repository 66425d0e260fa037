from pathlib import Path

import pytest

from lightning_liver.comparison.loss_scores import loss_scores
from lightning_liver.comparison.runs import read_runs
from lightning_liver.errors import LiverError
from tests.report.run_folders import scores_of, write_run

HEAD = "case,patient,loss,value\n"


def test_scans_of_a_patient_are_averaged_first(tmp_path: Path) -> None:
    rows = f"{HEAD}1,A,bce,0.1\n2,A,bce,0.3\n3,B,bce,0.8\n1,A,dice,1\n3,B,dice,0\n"
    (write_run(tmp_path / "a", "bce", scores_of(0.5)) / "losses.csv").write_text(rows)
    found = loss_scores(read_runs([tmp_path])).matrix
    assert found["1 - bce"] == found["1 - dice"] == {"all": pytest.approx(0.5)}


def test_loss_that_was_not_finite_for_a_case_is_left_out(tmp_path: Path) -> None:
    rows = f"{HEAD}1,A,bce,\n2,B,bce,0.3\n1,A,dice,0.5\n"
    (write_run(tmp_path / "a", "bce", scores_of(0.5)) / "losses.csv").write_text(rows)
    assert set(loss_scores(read_runs([tmp_path])).matrix) == {"tumour Dice", "1 - dice"}


@pytest.mark.parametrize(
    "content", ["case,loss,value\n1,bce,0.5\n", f"{HEAD}1,A,bce,much\n", "case,patient,loss\n1,A,bce\n"]
)
def test_damaged_file_is_named(tmp_path: Path, content: str) -> None:
    (write_run(tmp_path / "a", "bce", scores_of(0.5)) / "losses.csv").write_text(content)
    with pytest.raises(LiverError, match=r"losses\.csv.*damaged .*remove metrics\.json"):
        read_runs([tmp_path])


def test_values_are_one_minus_loss_and_the_dice_of_the_same_runs(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", "bce", scores_of(0.2, 0.4), seed=0)
    write_run(tmp_path / "b", "bce", scores_of(0.9, 0.9), seed=1)
    (run / "losses.csv").write_text(f"{HEAD}1,A,dice,0.25\n")
    found = loss_scores(read_runs([tmp_path]))
    assert found.matrix == {"tumour Dice": {"all": pytest.approx(0.3)}, "1 - dice": {"all": 0.75}}
    assert found.left_out == 1


def test_runs_without_measured_losses_have_no_matrix(tmp_path: Path) -> None:
    write_run(tmp_path / "a", "bce", scores_of(0.2, 0.4), seed=0)
    assert loss_scores(read_runs([tmp_path])) == ({}, {}, 1)


def test_own_loss_is_the_chosen_yaml_else_the_function(tmp_path: Path) -> None:
    for folder in (
        write_run(tmp_path / "a", "tversky", scores_of(0.5), choice="tversky_recall"),
        write_run(tmp_path / "b", "dice", scores_of(0.5)),
    ):
        (folder / "losses.csv").write_text(f"{HEAD}1,A,dice,0.25\n")
    own = loss_scores(read_runs([tmp_path])).own
    assert own == {"loss=tversky_recall model=unet_small": "tversky_recall", "loss=dice model=unet": "dice"}
