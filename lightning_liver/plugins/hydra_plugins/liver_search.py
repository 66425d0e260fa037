"""Sweepers of hydra/sweeper=optuna and =fair. Hydra imports this module at every start, so it imports little."""

from importlib.util import find_spec
from typing import Any

from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from lightning_liver.errors import LiverError


class OptunaSweeper(Sweeper):
    """Runs the trials that Optuna proposes; its options are in conf/hydra/sweeper/optuna.yaml."""

    choice = "optuna"

    def __init__(self, **options: Any) -> None:
        self.options = options
        self.config: DictConfig | None = None
        self.hydra_context: HydraContext | None = None
        self.launcher: Launcher | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.config, self.hydra_context = config, hydra_context
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        """Run the trials.

        Raises:
            LiverError: Optuna is not installed, an option or a space is wrong, or trials failed.
        """
        if find_spec("optuna") is None:
            raise LiverError(
                f"hydra/sweeper={self.choice}: expected the package optuna; do pip install 'optuna>=4.3,<6'"
            )
        from lightning_liver.sweep.trials import Setup  # here: Optuna is an extra, and slow to import

        assert self.config is not None and self.hydra_context is not None and self.launcher is not None  # noqa: PT018
        return self.load()(Setup(self.options, self.config, self.hydra_context, self.launcher), arguments)

    def load(self) -> Any:
        """Import the function that runs the sweep."""
        from lightning_liver.sweep.search import sweep

        return sweep


class FairSweeper(OptunaSweeper):
    """Tunes each contender with equally many trials, then runs all; its options are in conf/hydra/sweeper/fair.yaml."""

    choice = "fair"

    def load(self) -> Any:
        """Import the function that runs the sweep."""
        from lightning_liver.sweep.fair import sweep

        return sweep
