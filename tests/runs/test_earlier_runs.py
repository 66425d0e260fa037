"""Runs of earlier versions are rebuilt from their configs, so every `_target_` in those keeps its path."""

from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig, OmegaConf

from lightning_liver.build import build
from lightning_liver.config import read_config
from lightning_liver.errors import LiverError
from lightning_liver.finetune.parts import parts
from lightning_liver.finetune.strategy import Scratch
from lightning_liver.models.unet import UNet
from lightning_liver.training.start import build_strategy

CONFIGS = sorted((Path(__file__).parent / "earlier").glob("*.yaml"))


@pytest.fixture(params=CONFIGS, ids=lambda path: path.stem)
def config(request: pytest.FixtureRequest) -> DictConfig:
    return read_config(request.param)


def test_network_and_loss_of_an_earlier_run_are_rebuilt(config: DictConfig) -> None:
    network, loss = build(config.model), build(config.loss)
    assert isinstance(network, UNet)
    assert len(list(parts(network))) == 2 * config.model.depth + 2
    logits = network(torch.zeros(1, 1, 32, 32))
    assert loss(logits, torch.ones_like(logits)).isfinite()


def test_augmentation_and_slices_of_an_earlier_run_are_rebuilt(config: DictConfig) -> None:
    assert callable(build(config.augment))
    assert build(config.data.slices).batch_size == config.data.batch_size


def test_strategy_of_an_earlier_run_is_rebuilt(config: DictConfig) -> None:
    assert set(build(config.finetune).terms) == set(config.finetune.terms)


def test_optimizer_scheduler_and_trainer_of_an_earlier_run_are_rebuilt(config: DictConfig) -> None:
    optimizer = build(config.optimizer)([torch.nn.Parameter(torch.zeros(1))])
    build(config.scheduler)(optimizer, lambda: 10)
    assert build(config.trainer).max_epochs == config.trainer.max_epochs


def test_phantoms_of_an_earlier_run_are_made_again(config: DictConfig, tmp_path: Path) -> None:
    config.data.root, config.data.cases, config.data.matrix, config.data.workers = str(tmp_path), 1, 32, 0
    with pytest.raises(LiverError, match="expected a folder in the cache"):
        build(config.data.source)
    config.data.source.confined = False  # as trust=[data.store] reads it
    assert len(build(config.data.source)) == 1


def test_runs_of_earlier_versions_train_from_scratch_without_a_strategy() -> None:
    earlier = OmegaConf.create({"source": "run", "source_data": None, "target_root": None})
    assert isinstance(build_strategy(earlier), Scratch)
    assert isinstance(build_strategy(None), Scratch)
    with pytest.raises(LiverError, match="_target_"):
        build_strategy(OmegaConf.create({"finetune": {"source": "run"}}))
