"""What makes two runs repeats of one configuration."""

from collections.abc import Mapping
from typing import Any

import pytest
from omegaconf import OmegaConf

from lightning_liver.config import SCRATCH, compose
from lightning_liver.runs.settings import flat, learnt

REPEATED = (
    *("seed=3", "data.fold=1", "report=false", "logger=csv", "trainer.enable_progress_bar=false", "data.workers=1"),
    *("test_losses=all", "finetune.source=a"),
)
ANOTHER = ("loss=focal", "data.folds=3", "scores.tolerance_mm=1", "trainer.max_minutes=3", "finetune=full")


def settings(*overrides: str) -> Mapping[str, object]:
    tree: Any = OmegaConf.to_container(compose("train", list(overrides)))
    return flat(tree)


@pytest.mark.parametrize("override", REPEATED)
def test_a_configuration_is_repeated_with_another_value(override: str) -> None:
    assert learnt(settings(override)) == learnt(settings())


@pytest.mark.parametrize("override", ANOTHER)
def test_another_value_makes_another_configuration(override: str) -> None:
    assert learnt(settings(override)) != learnt(settings())


def test_paths_of_a_strategy_make_no_other_configuration() -> None:
    assert learnt(settings("finetune=full", "finetune.target_root=/b")) == learnt(settings("finetune=full"))
    assert learnt(settings("finetune=full", "finetune.source=b")) != learnt(settings("finetune=full"))


def test_runs_before_scratch_was_a_strategy_are_of_scratch() -> None:
    earlier = {"loss.gamma": 2, "finetune._choice_": "scratch", "finetune._target_": ""}
    now = {"loss.gamma": 2, "finetune._choice_": "scratch", "finetune._target_": SCRATCH, "finetune.source": "a"}
    assert learnt(earlier) == learnt(now)
