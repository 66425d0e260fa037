"""hydra/sweeper=design. Hydra imports this at every start, so it imports no more than it must."""

from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.types import Override
from hydra.utils import get_method


class DesignSweeper(BasicSweeper):
    """A plain sweep in which each job is a whole design; its options are in conf/hydra/sweeper/design.yaml."""

    def __init__(
        self, factors: dict[str, Any] | None, params: dict[str, str] | None, max_batch_size: int | None
    ) -> None:
        super().__init__(max_batch_size, params)
        self.factors = factors or {}

    def split_arguments(  # type: ignore[override]
        self, overrides: list[Override], max_batch_size: int | None
    ) -> list[list[list[str]]]:
        """Batches of jobs, each a list of overrides.

        Raises:
            LiverError: an option of the design is wrong.
        """
        (repeats,) = BasicSweeper.split_arguments(overrides, None)
        jobs = list(get_method("lightning_liver.sweep.design.jobs")(self.factors, repeats))
        return list(self.split_overrides_to_chunks(jobs, max_batch_size))  # type: ignore[arg-type]
