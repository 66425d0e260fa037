"""Jobs of a sweep on a Ray cluster, by hydra-ray-launcher."""

import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ray
from hydra.core.utils import JobReturn
from hydra_plugins.hydra_ray_launcher.ray_launcher import RayLauncher
from omegaconf import OmegaConf
from pydantic.dataclasses import dataclass

from lightning_liver.errors import LiverError, Unfinished, first_line
from lightning_liver.sweep.launcher_options import checked
from lightning_liver.types.options import Closed, Natural, NonNegative

_HANDED_ON = ("PYTHONPATH", "LIVER_CACHE")  # where processes of another machine find the code and the store


@dataclass(frozen=True, config=Closed, kw_only=True)
class RayOptions:
    """Options of hydra/launcher=ray; its yaml explains them."""

    address: str | None
    num_cpus: NonNegative
    num_gpus: NonNegative
    max_retries: Natural


class RayJobs(RayLauncher):  # type: ignore[misc]
    """Hands the jobs of a sweep to Ray and waits for them."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.options = checked(RayOptions, options)
        remote = {name: getattr(self.options, name) for name in ("num_cpus", "num_gpus", "max_retries")}
        super().__init__(OmegaConf.create({"init": {}, "remote": remote}))

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run jobs and return how each of them ended.

        Raises:
            LiverError: there is no such cluster.
            Unfinished: the process of a job was killed more often than `max_retries`.
        """
        if not ray.is_initialized():
            self._connect()
        try:
            return super().launch(job_overrides, initial_job_idx)
        except ray.exceptions.RayError as error:
            raise Unfinished(
                f"hydra/launcher=ray: a job ended without a result ({first_line(error)}); the same command again goes "
                "on with it"
            ) from error

    def _connect(self) -> None:
        """Connect to the cluster or start one: the launcher gives a cluster that runs an option that it refuses."""
        folder, ending = Path.cwd(), signal.getsignal(signal.SIGTERM)
        environment = {name: os.environ[name] for name in _HANDED_ON if name in os.environ}
        own: dict[str, Any] = {} if self.options.address else {"include_dashboard": False}
        try:
            ray.init(
                self.options.address,
                runtime_env={"env_vars": environment, "worker_process_setup_hook": lambda: os.chdir(folder)},
                **own,
            )
        except (ConnectionError, ValueError, OSError, RuntimeError) as error:
            raise LiverError(
                f"hydra.launcher.address={self.options.address}: expected a Ray cluster ({first_line(error)}); start "
                "one with ray start --head, or leave the address out"
            ) from error
        signal.signal(signal.SIGTERM, ending)  # Ray's own would leave at once
