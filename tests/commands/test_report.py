"""Differences of a run from the defaults, and a failing report that loses nothing else."""

import json
import logging
import shlex
from pathlib import Path

import pytest
import yaml
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from lightning_liver.commands.report import finish, wants_report
from lightning_liver.config import compose
from lightning_liver.errors import LiverError
from lightning_liver.report.html.setup import command
from lightning_liver.runs.differences import differences


def hydra_folder(folder: Path, *overrides: str) -> Path:
    """Make a folder with the files that Hydra writes for a command."""
    cfg = compose("train", list(overrides), return_hydra_config=True)
    choices = OmegaConf.to_container(cfg.hydra.runtime.choices)
    (folder / ".hydra").mkdir(parents=True)
    hydra = {"mode": "RUN", "runtime": {"choices": choices}, "overrides": {"task": list(overrides)}}
    (folder / ".hydra" / "hydra.yaml").write_text(yaml.safe_dump({"hydra": hydra}))
    own = OmegaConf.create({name: value for name, value in cfg.items() if name != "hydra"})
    OmegaConf.save(own, folder / ".hydra" / "config.yaml")
    return folder


def test_the_defaults_differ_in_nothing(tmp_path: Path) -> None:
    assert differences(hydra_folder(tmp_path / "run")) == {"choices": {}, "options": {}}


def test_a_choice_is_listed_once_and_an_option_with_its_default(tmp_path: Path) -> None:
    run = hydra_folder(tmp_path / "run", "loss=focal", "loss.gamma=3", "data.batch_size=2", "resume=elsewhere")
    assert differences(run) == {
        "choices": {"loss": ["dice_bce", "focal"]},
        "options": {"data.batch_size": [8, 2], "loss.gamma": [2.0, 3]},
    }


def test_options_of_an_experiment_are_listed(tmp_path: Path) -> None:
    found = differences(hydra_folder(tmp_path / "run", "experiment=demo"))
    assert found is not None
    assert found["choices"] == {"augment": ["varied", "basic"], "inference": ["training", "default"]}
    assert found["options"]["data.spacing_mm"] == [2, 3]
    assert found["options"]["trainer.max_minutes"] == [None, 4]


def test_nested_groups_are_listed(tmp_path: Path) -> None:
    typed = ("finetune=multitask", "finetune.source=run", "finetune/term@finetune.terms.second=reconstruction")
    found = differences(hydra_folder(tmp_path / "run", *typed))
    assert found is not None
    assert found["choices"]["finetune"] == ["scratch", "multitask"]
    assert found["options"] == {"finetune.source": [None, "run"]}


def test_a_run_without_hydras_files_has_no_differences(tmp_path: Path) -> None:
    assert differences(tmp_path) is None


def test_an_unknown_group_gives_no_differences(tmp_path: Path) -> None:
    run = hydra_folder(tmp_path / "run")
    path = run / ".hydra" / "hydra.yaml"
    path.write_text(path.read_text().replace("loss: dice_bce", "loss: of_my_own"))
    assert differences(run) is None


def test_the_command_of_a_report_composes_the_same_config(tmp_path: Path) -> None:
    typed = ("experiment=demo", "data.split={train:[1,2],val:[3],test:[4]}", "augment=all", "~augment.flip")
    run = hydra_folder(tmp_path / "run", *typed)
    again = shlex.split(command(typed, swept=False))[2:]
    assert OmegaConf.load(run / ".hydra" / "config.yaml") == compose("train", again)


def test_composing_keeps_the_state_of_the_running_command() -> None:
    outer = GlobalHydra.instance().hydra
    marker = object()
    GlobalHydra.instance().hydra = marker  # type: ignore[assignment]
    try:
        compose("train", ["loss=bce"])
        assert GlobalHydra.instance().hydra is marker
    finally:
        GlobalHydra.instance().hydra = outer


def test_a_failing_report_is_logged_and_raises_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = hydra_folder(tmp_path / "run")
    (run / "cases.csv").write_text("colour\nred\n")
    finish(run, {"epochs": 1.0}, with_report=True)
    assert not (run / "report.html").exists()
    assert "cases.csv, line 1: damaged" in caplog.text
    assert f"liver-report run={run}" in caplog.text
    assert json.loads((run / "environment.json").read_text())["torch"]


def test_environment_and_differences_are_kept_without_a_report(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    run = hydra_folder(tmp_path / "run")
    finish(run, {}, with_report=False)
    assert sorted(path.name for path in run.iterdir()) == [".hydra", "differs.json", "environment.json"]


def test_report_is_true_or_false() -> None:
    assert wants_report(compose("train", []))
    assert not wants_report(compose("train", ["report=false"]))
    assert wants_report(OmegaConf.create({}))
    with pytest.raises(LiverError, match="report='html'"):
        wants_report(compose("train", ["report=html"]))
