import os
from pathlib import Path

import pytest

from lightning_liver.comparison.runs import Score, configurations, read_runs, scores, status_rows
from lightning_liver.errors import LiverError
from tests.report.run_folders import scores_of, write_config, write_run


def names(folder: Path) -> dict[str, str]:
    return {path.name: name for path, name in configurations(read_runs([folder])).items()}


def test_configuration_is_what_differs_except_seed_and_fold(tmp_path: Path) -> None:
    for seed in (0, 1):
        for fold in (0, 1):
            for loss in ("bce", "dice"):
                write_run(tmp_path / f"{loss}-{seed}-{fold}", loss, scores_of(0.5), seed=seed, fold=fold)
    assert set(names(tmp_path).values()) == {"loss=bce", "loss=dice"}
    assert names(tmp_path)["bce-1-1"] == "loss=bce"


def test_runs_that_differ_only_in_seed_and_fold_are_one_configuration(tmp_path: Path) -> None:
    for seed in (0, 1):
        write_run(tmp_path / str(seed), "bce", scores_of(0.5), seed=seed, fold=seed)
    assert set(names(tmp_path).values()) == {"all"}


def test_configuration_has_the_name_of_the_chosen_yaml(tmp_path: Path) -> None:
    write_run(tmp_path / "a", "tversky", scores_of(0.5), choice="tversky")
    write_run(tmp_path / "b", "tversky", scores_of(0.5), choice="tversky_recall")
    assert names(tmp_path) == {"a": "loss=tversky", "b": "loss=tversky_recall"}


def test_options_are_named_only_where_runs_of_the_same_choice_differ_in_them(tmp_path: Path) -> None:
    write_run(tmp_path / "a", "focal", scores_of(0.5), options={"gamma": 0, "alpha": 0.25})
    write_run(tmp_path / "b", "focal", scores_of(0.5), options={"gamma": 2, "alpha": 0.25})
    write_run(tmp_path / "c", "dice", scores_of(0.5), options={"smooth": 1})
    assert names(tmp_path) == {"a": "loss=focal loss.gamma=0", "b": "loss=focal loss.gamma=2", "c": "loss=dice"}


def test_configuration_names_other_differences_than_the_loss(tmp_path: Path) -> None:
    write_run(tmp_path / "a", "focal", scores_of(0.5), trainer={"max_epochs": 3})
    write_run(tmp_path / "b", "dice", scores_of(0.5), trainer={"max_epochs": 9})
    assert names(tmp_path) == {"a": "loss=focal trainer.max_epochs=3", "b": "loss=dice trainer.max_epochs=9"}


def test_scores_have_a_row_for_each_scan_and_structure_with_undefined_dice_as_none(tmp_path: Path) -> None:
    tumour = {("A", "1"): 0.25, ("A", "2"): None}
    write_run(tmp_path / "run", "bce", tumour, liver={("A", "1"): 0.9}, seed=4, fold=2)
    assert scores(read_runs([tmp_path])) == [
        Score("run", "all", 4, 2, "A", "1", "liver", 0.9),
        Score("run", "all", 4, 2, "A", "1", "tumour", 0.25),
        Score("run", "all", 4, 2, "A", "2", "tumour", None),
    ]


def test_status_is_complete_begun_failed_with_its_reason_or_empty(tmp_path: Path) -> None:
    write_run(tmp_path / "complete", "bce", scores_of(0.5))
    for name in ("begun", "failed", "configured"):
        write_config(tmp_path / name, {"_target_": "package.losses.bce"})
    (tmp_path / "begun" / "checkpoints").mkdir()
    (tmp_path / "begun" / "checkpoints" / "last.ckpt").write_text("")
    (tmp_path / "failed" / "train.log").write_text("Preparing\nFAILED: model.depth=0: too small\n")
    (tmp_path / "nothing").mkdir()
    rows = {row["run"]: (row["status"], row["reason"]) for row in status_rows(read_runs([tmp_path]))}
    assert rows == {
        "complete": ("complete", ""),
        "begun": ("begun", ""),
        "failed": ("failed", "model.depth=0: too small"),
        "configured": ("empty", ""),
        "nothing": ("empty", ""),
    }


def test_status_has_the_reason_of_a_pruned_trial_and_the_trial_is_no_setting(tmp_path: Path) -> None:
    for n in range(2):
        write_config(
            tmp_path / str(n), {"_target_": "package.losses.bce"}, trial={"number": n, "journal": "optuna.log"}
        )
        (tmp_path / str(n) / "chosen.json").write_text('{"pruned": "val/mean/dice_per_case 0.1 in epoch 2"}')
    assert {(row["status"], row["reason"], row["configuration"]) for row in status_rows(read_runs([tmp_path]))} == {
        ("pruned", "val/mean/dice_per_case 0.1 in epoch 2", "all")
    }


def test_run_resumed_after_a_failure_is_begun(tmp_path: Path) -> None:
    write_config(tmp_path / "run", {"_target_": "package.losses.bce"})
    log, checkpoint = tmp_path / "run" / "train.log", tmp_path / "run" / "checkpoints" / "last.ckpt"
    log.write_text("FAILED: no space left\n")
    checkpoint.parent.mkdir()
    checkpoint.write_text("")
    os.utime(log, (1000, 1000))
    assert [run.status for run in read_runs([tmp_path])] == ["begun"]
    os.utime(checkpoint, (500, 500))
    assert [run.status for run in read_runs([tmp_path])] == ["failed"]


def test_only_complete_runs_are_scored(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", "bce", scores_of(0.5))
    (run / "metrics.json").unlink()
    assert scores(read_runs([tmp_path])) == []


def test_folder_given_twice_or_through_the_one_above_counts_once(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", "bce", scores_of(0.5))
    assert len(read_runs([run, tmp_path, tmp_path])) == 1


def test_folders_of_other_commands_are_skipped(tmp_path: Path) -> None:
    write_run(tmp_path / "run", "bce", scores_of(0.5))
    (tmp_path / "prepare" / ".hydra").mkdir(parents=True)
    (tmp_path / "prepare" / ".hydra" / "config.yaml").write_text("data: {fold: 0}\n")
    assert [run.folder.name for run in read_runs([tmp_path])] == ["run"]


@pytest.mark.parametrize("content", ["", "case,patient\n1,2\n", "case,patient,structure,dice\n1,A,tumour,many\n"])
def test_damaged_cases_are_named(tmp_path: Path, content: str) -> None:
    run = write_run(tmp_path / "run", "bce", scores_of(0.5))
    (run / "cases.csv").write_text(content)
    if content:
        with pytest.raises(LiverError, match=r"run/cases\.csv.*damaged .*remove metrics\.json"):
            read_runs([tmp_path])
    else:
        assert read_runs([tmp_path])[0].cases == ()  # a run without test cases leaves an empty file


@pytest.mark.parametrize("content", ["a: [", "[1, 2]", "\x00"])
def test_damaged_config_is_named(tmp_path: Path, content: str) -> None:
    run = write_run(tmp_path / "run", "bce", scores_of(0.5))
    (run / ".hydra" / "config.yaml").write_text(content)
    with pytest.raises(LiverError, match=r"config\.yaml"):
        read_runs([tmp_path])
