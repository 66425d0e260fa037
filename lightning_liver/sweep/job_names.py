"""Names of a sweep's jobs, equal whichever launcher runs them."""

import logging
from contextlib import suppress
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, flag_override

from lightning_liver.config import job_names
from lightning_liver.errors import LiverError
from lightning_liver.runs.listing import earlier_rows

log = logging.getLogger(__name__)


class JobNames(Callback):
    """Hands each job the folder of its sweep, and the names of the options that all jobs share."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Add them to Hydra's own overrides, with which every job is composed."""
        own = job_names(config.hydra.overrides.task, str(config.hydra.sweep.dir))
        with flag_override(config, ["readonly", "struct"], False):
            config.hydra.overrides.hydra.extend(own)
        with suppress(LiverError):  # of a damaged table: the first job says so
            if earlier := earlier_rows(config.get("results")):
                log.warning(earlier)
