"""A line for each training run, read without its tensors."""

import json
import os
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from lightning_liver.errors import LiverError
from lightning_liver.runs.overview import training_runs
from tests.report.run_folders import scores_of, write_config, write_run


def complete(folder: Path, loss: str, finished: str = "2026-01-02T03:04:05+00:00", **other: object) -> Path:
    write_run(folder, loss, scores_of(0.5), choice=loss, **other)
    scores = {"test/tumour/dice_per_case": 0.5, "val/tumour/dice_per_case": 0.4, "test/liver/dice_per_case": None}
    (folder / "metrics.json").write_text(json.dumps(scores))
    (folder / "environment.json").write_text(json.dumps({"finished": finished}))
    return folder


def test_runs_have_their_scores_and_what_differs_the_newest_first(tmp_path: Path) -> None:
    complete(tmp_path / "a", "dice", "2026-01-02T00:00:00+00:00", seed=0)
    complete(tmp_path / "b", "focal", "2026-01-03T00:00:00+00:00", seed=1)
    complete(tmp_path / "below" / "c", "focal", "2026-01-01T00:00:00+00:00", seed=2)
    lines = training_runs([tmp_path, tmp_path / "a"])
    assert [line.folder.name for line in lines] == ["b", "a", "c"]
    assert [dict(line.differs) for line in lines] == [
        {"loss": "focal", "seed": "1"},
        {"loss": "dice", "seed": "0"},
        {"loss": "focal", "seed": "2"},
    ]
    assert (lines[0].tumour, lines[0].validation_tumour, lines[0].liver) == (0.5, 0.4, None)


def test_options_with_many_values_come_first(tmp_path: Path) -> None:
    for n, (loss, depth) in enumerate([("dice", 2), ("dice", 3), ("focal", 4)]):
        complete(tmp_path / str(n), loss, model={"_target_": "package.unet", "depth": depth})
    assert {tuple(line.differs) for line in training_runs([tmp_path])} == {("model.depth", "loss")}


def test_incomplete_runs_go_by_their_last_sign_of_life(tmp_path: Path) -> None:
    folder = complete(tmp_path / "run", "dice")
    (folder / "metrics.json").unlink()
    (folder / "chosen.json").write_text(json.dumps({"max_epochs": 9}))
    for path in (folder / "chosen.json", folder / ".hydra" / "config.yaml"):
        os.utime(path, (10**9, 10**9))
    (line,) = training_runs([tmp_path])
    assert (line.status, line.progress, line.when.year) == ("begun", "of 9 epochs", 2001)


def test_a_study_is_a_folder_or_an_experiment(tmp_path: Path) -> None:
    complete(tmp_path / "multirun" / "losses" / "a", "dice")
    (tmp_path / "multirun" / "losses" / "multirun.yaml").write_text("")
    complete(tmp_path / "outputs" / "b", "dice")
    config = tmp_path / "outputs" / "b" / ".hydra" / "hydra.yaml"
    config.write_text(config.read_text().replace("loss: dice", "loss: dice\n      experiment: demo"))
    assert [line.study for line in training_runs([tmp_path], "losses")] == ["losses"]
    assert [line.folder.name for line in training_runs([tmp_path], "demo")] == ["b"]
    assert not training_runs([tmp_path], "other")


def test_folders_of_other_commands_are_none_and_a_damaged_one_hides_no_run(tmp_path: Path) -> None:
    complete(tmp_path / "good", "dice")
    write_config(tmp_path / "prepared", {})
    damaged = complete(tmp_path / "damaged", "dice")
    (damaged / "metrics.json").write_text("{")
    assert {line.folder.name: line.status for line in training_runs([tmp_path])} == {
        "good": "complete",
        "damaged": "damaged",
    }


def test_a_folder_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LiverError, match="nowhere: no such folder"):
        training_runs([tmp_path / "nowhere"])


@pytest.mark.parametrize("finished", ["20r6-01-31T12:00:00+00:00", "0001-01-01T00:00:00+23:59", "", None, 5])
def test_a_damaged_time_is_that_of_the_files(tmp_path: Path, finished: Any) -> None:
    folder = complete(tmp_path / "a", "dice", finished)
    [line] = training_runs([tmp_path])
    assert line.when == datetime.fromtimestamp((folder / "metrics.json").stat().st_mtime)
