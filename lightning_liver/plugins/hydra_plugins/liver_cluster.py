"""Launchers of hydra/launcher=slurm and =ray. Hydra imports this module at every start, so it imports little."""

from importlib.util import find_spec
from typing import Any

from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from lightning_liver.errors import LiverError


class SlurmLauncher(Launcher):
    """Runs the jobs of a sweep on a Slurm cluster; its options are in conf/hydra/launcher/slurm.yaml."""

    choice, module = "slurm", "hydra_plugins.hydra_submitit_launcher"
    requirement = "hydra-submitit-launcher>=1.2"

    def __init__(self, **options: Any) -> None:
        self.options = options
        self.jobs: Launcher | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Check the options.

        Raises:
            LiverError: the package of the launcher is not installed, or an option is wrong.
        """
        if find_spec(self.module) is None:
            name = self.requirement.partition(">")[0].partition("[")[0]
            raise LiverError(
                f"hydra/launcher={self.choice}: expected the package {name}; do pip install '{self.requirement}'"
            )
        self.jobs = self.load()(self.options)
        self.jobs.setup(hydra_context=hydra_context, task_function=task_function, config=config)

    def launch(self, job_overrides: Any, initial_job_idx: int) -> Any:
        """Run jobs and return how each of them ended."""
        assert self.jobs is not None
        return self.jobs.launch(job_overrides, initial_job_idx)

    def load(self) -> Any:
        """Import the class that runs the jobs: its package is an extra."""
        from lightning_liver.sweep.slurm import SlurmJobs

        return SlurmJobs


class RayLauncher(SlurmLauncher):
    """Runs the jobs of a sweep on a Ray cluster; its options are in conf/hydra/launcher/ray.yaml."""

    choice, module, requirement = "ray", "ray", "ray[default]>=2.40"

    def load(self) -> Any:
        """Import the class that runs the jobs: its package is an extra."""
        from lightning_liver.sweep.ray import RayJobs

        return RayJobs
