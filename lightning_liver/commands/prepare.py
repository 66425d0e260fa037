"""Preparation of the store of a data set."""

import logging
from pathlib import Path

from omegaconf import DictConfig

import lightning_liver.config  # noqa: F401  registers the resolvers that configs use
from lightning_liver.build import prepared
from lightning_liver.data.address import shown
from lightning_liver.data.store import Store
from lightning_liver.errors import LiverError
from lightning_liver.types.options import Switch, check

log = logging.getLogger(__name__)


def prepare(cfg: DictConfig, folder: Path) -> None:
    """Bring a store up to date and log its place; `verify` compares all its files with their checksums.

    Raises:
        LiverError: a case cannot be prepared, or is damaged and cannot be prepared anew.
    """
    verify = check("verify", cfg.verify, Switch)
    store = prepared(cfg.data)
    log.info(f"{len(store.cases)} cases are ready in {shown(store.folder)}")
    if verify:
        _verify(store)


def _verify(store: Store) -> None:
    healed, faults = 0, []
    for name in store.cases:
        try:
            healed += not store.check(name)
        except LiverError as error:
            faults.append(str(error))
    if faults:
        raise LiverError("\n".join(faults))
    log.info(f"All files are as they were written; {healed} damaged cases were prepared anew")
