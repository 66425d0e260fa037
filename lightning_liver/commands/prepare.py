"""Preparation of the store of a data set."""

import logging
from pathlib import Path

from omegaconf import DictConfig

import lightning_liver.config  # noqa: F401  registers the resolvers that configs use
from lightning_liver.build import prepared

log = logging.getLogger(__name__)


def prepare(cfg: DictConfig, folder: Path) -> None:
    """Bring a store up to date and log its place."""
    store = prepared(cfg.data)
    log.info(f"{len(store.cases)} cases are ready in {store.folder}")
