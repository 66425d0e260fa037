"""Sweeper of hydra/sweeper=design. Hydra imports this module at every start, so it imports little."""

from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.types import Override


class DesignSweeper(BasicSweeper):
    """A plain sweep that runs a whole design for each combination; see conf/hydra/sweeper/design.yaml."""

    def __init__(
        self, factors: dict[str, Any] | None, params: dict[str, str] | None, max_batch_size: int | None
    ) -> None:
        super().__init__(max_batch_size, params)
        self.factors = factors or {}

    def split_arguments(  # type: ignore[override]
        self, overrides: list[Override], max_batch_size: int | None
    ) -> list[list[list[str]]]:
        """Return batches of jobs, each a list of overrides.

        Raises:
            LiverError: an option of the design is wrong.
        """
        from lightning_liver.sweep.design import jobs  # here: only a design needs NumPy

        (repeats,) = BasicSweeper.split_arguments(overrides, None)
        designed = list(jobs(self.factors, repeats))
        return list(self.split_overrides_to_chunks(designed, max_batch_size))  # type: ignore[arg-type]
