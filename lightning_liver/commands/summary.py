"""Layer table of a network."""

import logging
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from lightning_liver.build import build
from lightning_liver.data.datamodule import SliceOptions
from lightning_liver.files import write_whole
from lightning_liver.training.trainer import summary_table

log = logging.getLogger(__name__)


def summarise(cfg: DictConfig, folder: Path) -> None:
    """Print the layer table of the model and write it to <folder>/<model>.txt."""
    path = folder / f"{HydraConfig.get().runtime.choices['model']}.txt"
    slices: SliceOptions = build(cfg.data.slices)
    table = summary_table(build(cfg.model), slices.channels, slices.size_yx)
    write_whole(path, table + "\n")
    log.info(f"{table}\n{path}")
