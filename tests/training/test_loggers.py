"""Loggers: every choice is built, gets options, scalars, pictures and tags, and a run continues what it logged."""

import csv
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import CSVLogger, Logger, TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lightning_liver.config import compose
from lightning_liver.errors import LiverError
from lightning_liver.run_folder import RunFolder
from lightning_liver.runs.scalars import Point, read_curves
from lightning_liver.training.loggers import ScalarRecord, build_loggers, finish_loggers, log_picture
from lightning_liver.training.run_state import RunState
from tests.optional import needs

PICTURE = np.zeros((8, 16, 3), np.uint8)
TAG = "val/case 22 slice 4: CT, truth, prediction, error"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder where the command is typed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def config(*typed: str) -> DictConfig:
    return compose("train", list(typed))


def begun(folder: Path, *typed: str) -> list[Logger]:
    """The loggers of a run; with .hydra, as in a run folder."""
    folder.mkdir(exist_ok=True)
    return build_loggers(config(*typed), RunState(folder))


def log_everything(loggers: list[Logger], *typed: str) -> None:
    for logger in loggers:
        logger.log_metrics({"val/loss": 0.5}, 3)
    log_picture(loggers, TAG, PICTURE, 3)
    finish_loggers(loggers, config(*typed), {"test/liver/dice_per_case": 0.9, "steps": 4})


@pytest.mark.parametrize(
    ("choice", "kinds"),
    [
        ("none", []),
        ("csv", [CSVLogger]),
        ("tensorboard", [TensorBoardLogger]),
        ("many", [TensorBoardLogger, CSVLogger]),
        ("[csv,tensorboard]", [CSVLogger, TensorBoardLogger]),
    ],
)
def test_every_choice_has_its_loggers_and_the_record(choice: str, kinds: list[type], tmp_path: Path) -> None:
    loggers = begun(tmp_path / "run", f"logger={choice}")
    assert [type(each) for each in loggers] == [*kinds, ScalarRecord]
    log_everything(loggers)
    assert read_curves(RunFolder(tmp_path / "run"))["val/loss"] == [Point(3, 0.5)]


def test_tensorboard_gets_scalars_pictures_and_options(tmp_path: Path) -> None:
    log_everything(begun(tmp_path / "run"))
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    assert events.Tags()["images"] == [TAG]
    assert events.Scalars("val/loss")[0].value == 0.5
    assert "_hparams_/session_start_info" in events.summary_metadata


def test_table_gets_scalars_and_options(tmp_path: Path) -> None:
    log_everything(begun(tmp_path / "run", "logger=csv"))
    rows = list(csv.DictReader((tmp_path / "run" / "csv" / "metrics.csv").open()))
    assert [(row["step"], row["val/loss"], row["test/liver/dice_per_case"]) for row in rows] == [
        ("3", "0.5", ""),
        ("4", "", "0.9"),
    ]
    options = OmegaConf.load(tmp_path / "run" / "csv" / "hparams.yaml")
    assert options["optimizer.lr"] == config().optimizer.lr
    assert options["augment.basic"] == "augment.compound.basic"
    assert options["augment.basic.rotation_degrees"] == 15


def test_logger_of_an_earlier_run_has_no_name_of_its_own(tmp_path: Path) -> None:
    flat = config()
    flat.logger = flat.logger.tensorboard
    (tmp_path / "run").mkdir()
    assert isinstance(build_loggers(flat, RunState(tmp_path / "run"))[0], TensorBoardLogger)


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_missing_package_is_one_line(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        "lightning_liver.training.loggers.find_spec", lambda package: None if package == name else found(package)
    )
    with pytest.raises(LiverError) as caught:
        begun(tmp_path / "run", f"logger={name}")
    assert str(caught.value) == f"logger={name} needs the package {name}, which is not installed: pip install {name}"


@pytest.mark.parametrize("wrong", ["+logger.mine.a=1", "tags=baseline"])
def test_wrong_logger_or_tags_are_refused(wrong: str, tmp_path: Path) -> None:
    with pytest.raises(LiverError, match=wrong.lstrip("+").split("=")[0].removesuffix(".a")):
        begun(tmp_path / "run", wrong)


def test_other_loggers_with_pictures_get_them() -> None:
    got: list[Any] = []

    class Other(CSVLogger):
        def log_image(self, key: str, images: list[Any], step: int) -> None:
            got.append((key, images[0].shape, step))

    log_picture([Other("."), CSVLogger(".")], TAG, PICTURE, 5)
    assert got == [(TAG, (8, 16, 3), 5)]


def test_wandb_offline_gets_scalars_pictures_options_and_tags_and_continues(tmp_path: Path) -> None:
    needs("wandb")
    typed = ("logger=wandb", "logger.wandb.offline=true", "tags=[baseline,thesis]")
    loggers = begun(tmp_path / "run", *typed)
    experiment: Any = loggers[0].experiment  # type: ignore[attr-defined]
    assert experiment.tags == ("baseline", "thesis")
    assert experiment.config["loss"] == "losses.compound.dice_bce"
    log_everything(loggers, *typed)
    [files] = (tmp_path / "run" / "wandb").glob("offline-run-*")
    assert len(list(files.rglob("*.png"))) == 1
    assert (files / f"run-{loggers[0].version}.wandb").stat().st_size > 0
    again = begun(tmp_path / "run", *typed)
    assert again[0].version == loggers[0].version
    finish_loggers(again, config(*typed), {})


def test_mlflow_gets_scalars_pictures_options_and_tags_in_a_local_store_and_continues(tmp_path: Path) -> None:
    needs("mlflow")
    typed = ("logger=mlflow", "tags=[baseline]")
    loggers = begun(tmp_path / "run", *typed)
    log_everything(loggers, *typed)
    logger: Any = begun(tmp_path / "run", *typed)[0]
    assert logger.run_id == loggers[0].run_id  # type: ignore[attr-defined]
    assert (tmp_path / "mlruns").is_dir()
    run = logger.experiment.get_run(logger.run_id)
    assert run.data.metrics == {"val/loss": 0.5, "test/liver/dice_per_case": 0.9}
    assert run.data.params["loss"] == "losses.compound.dice_bce"
    assert run.data.tags["baseline"] == "true"
    assert [each.path for each in logger.experiment.list_artifacts(logger.run_id)] == ["images"]
