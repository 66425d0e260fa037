"""Jobs of a sweep on a Ray cluster. hydra-ray-launcher 1.2.2 needs cloudpickle<3, and joblib 1.6 needs 3 or later."""

import logging
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ray
from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, filter_overrides, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict
from pydantic.dataclasses import dataclass

from lightning_liver.errors import LiverError, Unfinished, first_line
from lightning_liver.sweep.launcher_options import checked
from lightning_liver.types.options import Closed, Natural, NonNegative

log = logging.getLogger(__name__)

_HANDED_ON = ("PYTHONPATH", "LIVER_CACHE")  # where processes of another machine find the code and the store


@dataclass(frozen=True, config=Closed, kw_only=True)
class RayOptions:
    """Options of hydra/launcher=ray; its yaml explains them."""

    address: str | None
    num_cpus: NonNegative
    num_gpus: NonNegative
    max_retries: Natural


class RayJobs(Launcher):
    """Hands the jobs of a sweep to Ray and waits for them."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.options = checked(RayOptions, options)
        self.parts: tuple[HydraContext, TaskFunction, DictConfig] | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.parts = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run jobs and return how each of them ended; one killed more often than `max_retries` is Unfinished.

        Raises:
            LiverError: there is no such cluster.
        """
        assert self.parts is not None
        context, task, config = self.parts
        setup_globals()
        if not ray.is_initialized():
            self._connect()
        needs = {name: getattr(self.options, name) for name in ("num_cpus", "num_gpus", "max_retries")}
        run, begun = ray.remote(**needs)(_run), []
        for number, overrides in enumerate(job_overrides, initial_job_idx):
            log.info(f"\t#{number} : {' '.join(filter_overrides(list(overrides)))}")
            own = context.config_loader.load_sweep_config(config, list(overrides))
            with open_dict(own):
                own.hydra.job.id, own.hydra.job.num = f"job_id_for_{number}", number
            begun.append(run.remote(context, task, own, Singleton.get_state()))
        return [_result(number, each) for number, each in enumerate(begun, initial_job_idx)]

    def _connect(self) -> None:
        """Connect to the cluster, or start Ray on this machine."""
        folder, ending = Path.cwd(), signal.getsignal(signal.SIGTERM)
        environment = {name: os.environ[name] for name in _HANDED_ON if name in os.environ}
        own: dict[str, Any] = {} if self.options.address else {"include_dashboard": False}
        try:
            ray.init(
                self.options.address or "local",  # none would look for a cluster first, and wait for one that has ended
                runtime_env={"env_vars": environment, "worker_process_setup_hook": lambda: os.chdir(folder)},
                **own,
            )
        except (ConnectionError, ValueError, OSError, RuntimeError) as error:
            raise LiverError(
                f"hydra.launcher.address={self.options.address}: expected a Ray cluster ({first_line(error)}); start "
                "one with ray start --head, or leave the address out"
            ) from error
        signal.signal(signal.SIGTERM, ending)  # Ray's own would leave at once


def _run(context: HydraContext, task: TaskFunction, config: DictConfig, state: Any) -> JobReturn:
    """Run a job in a process of Ray's."""
    setup_globals()
    Singleton.set_state(state)
    HydraConfig.instance().set_config(config)
    return run_job(
        hydra_context=context,
        task_function=task,
        config=config,
        job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
    )


def _result(number: int, begun: Any) -> JobReturn:
    """Wait for a job and return how it ended."""
    try:
        return ray.get(begun)
    except ray.exceptions.RayError as error:
        what = f"job {number} ended without a result ({first_line(error)})"
        log.error(what)
        message = f"hydra/launcher=ray: {what}; the same command again goes on with it"
        return JobReturn(status=JobStatus.FAILED, _return_value=Unfinished(message))
