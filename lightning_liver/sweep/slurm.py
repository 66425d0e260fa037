"""Jobs of a sweep on a Slurm cluster, by hydra-submitit-launcher, which gives up all jobs as soon as one is killed."""

import logging
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, Literal

import submitit
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, filter_overrides
from hydra_plugins.hydra_submitit_launcher.submitit_launcher import BaseSubmititLauncher
from pydantic.dataclasses import dataclass
from submitit.core.utils import FailedJobError, FailedSubmissionError, UncompletedJobError
from submitit.slurm.slurm import SlurmInfoWatcher, SlurmJob

from lightning_liver.errors import LiverError, Unfinished, first_line
from lightning_liver.sweep.launcher_options import checked
from lightning_liver.types.options import Closed, Count, Natural

log = logging.getLogger(__name__)

_ENDED = {"BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "TIMEOUT"}


@dataclass(frozen=True, config=Closed, kw_only=True)
class SlurmOptions:
    """Options of hydra/launcher=slurm; its yaml explains them."""

    executor: Literal["slurm", "local"]
    array_parallelism: Count
    timeout_min: Count
    max_num_timeout: Natural
    signal_delay_s: Count
    cpus_per_task: Count
    gpus_per_node: Natural
    mem_gb: Count | None
    partition: str | None
    additional_parameters: dict[str, Any]
    setup: list[str]


class SlurmJobs(BaseSubmititLauncher):  # type: ignore[misc]
    """Submits the jobs of a sweep, waits for them, and is what each of them runs."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        super().__init__()
        self.options = checked(SlurmOptions, options)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run jobs and return how each of them ended; a job without a result is Unfinished.

        Raises:
            LiverError: they cannot be submitted.
        """
        assert self.config is not None
        folder = Path(str(self.config.hydra.sweep.dir))
        folder.mkdir(parents=True, exist_ok=True)
        state = Singleton.get_state()
        numbered = list(enumerate(job_overrides, initial_job_idx))
        given = [(list(each), "hydra.sweep.dir", n, f"job_id_for_{n}", state) for n, each in numbered]
        if self.options.executor == "slurm" and not _has_accounting():
            SlurmJob.watcher = _Queue(delay_s=30)
        try:
            jobs = self._executor(folder).map_array(self, *zip(*given, strict=True))
        except (FailedJobError, FailedSubmissionError, RuntimeError, OSError) as error:
            raise LiverError(
                f"hydra/launcher=slurm: expected a cluster that takes the jobs ({first_line(error)}); type the command "
                "on its login node, or try it with hydra.launcher.executor=local"
            ) from error
        for (n, each), job in zip(numbered, jobs, strict=True):
            log.info(f"\t#{n} is job {job.job_id}: {' '.join(filter_overrides(list(each)))}")
        try:
            return [_result(job) for job in jobs]
        except KeyboardInterrupt:
            for job in jobs:
                job.cancel(check=False)
            raise

    def __call__(self, *arguments: Any) -> JobReturn:
        """Run a job. Slurm's signal before the time limit ends it in order, then it is put back into the queue.

        The signal for a job that has to leave for another one is ignored: Slurm puts such a job back by itself, and one
        that had ended before would be taken for complete.
        """
        warning = submitit.JobEnvironment._usr_sig()
        put_back: Any = signal.getsignal(warning)
        warned = _Warning(warning)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # Lightning replaces its handlers
        try:
            return super().__call__(*arguments)
        except KeyboardInterrupt:
            if warned.heard:
                put_back(warning, None)  # leaves with the exit code for it
            raise

    def _executor(self, folder: Path) -> Any:
        given = self.options
        on_cluster: dict[str, Any] = {
            "slurm_array_parallelism": given.array_parallelism,
            "slurm_signal_delay_s": given.signal_delay_s,
            "slurm_partition": given.partition,
            "slurm_additional_parameters": given.additional_parameters,
            # a step of Slurm >= 22.05 does not take the cores of its job
            "slurm_srun_args": [f"--cpus-per-task={given.cpus_per_task}"],
            "slurm_setup": [f"export OMP_NUM_THREADS={given.cpus_per_task}", *given.setup],
        }
        executor = submitit.AutoExecutor(
            folder / ".submitit" / "%j",
            cluster=given.executor,
            **{f"{given.executor}_max_num_timeout": given.max_num_timeout},
        )
        executor.update_parameters(
            name=str(self.config.hydra.job.name),
            timeout_min=given.timeout_min,
            cpus_per_task=given.cpus_per_task,
            gpus_per_node=given.gpus_per_node,
            mem_gb=given.mem_gb,
            **on_cluster if given.executor == "slurm" else {},
        )
        return executor


class _Warning:
    """Raises KeyboardInterrupt at the first of a signal, and ignores further ones: the job is ending by then."""

    def __init__(self, number: int) -> None:
        self.heard = False
        signal.signal(number, self._end)

    def _end(self, number: int, frame: FrameType | None) -> None:
        if not self.heard:
            self.heard = True
            raise KeyboardInterrupt


class _Queue(SlurmInfoWatcher):  # type: ignore[misc]
    """States of jobs by squeue: on a cluster without accounting submitit would wait for a killed job for ever."""

    def _make_command(self) -> list[str]:
        return ["squeue", "--me", "--array", "--states=all", "--noheader", "--format=%i|%T|%N"]

    def read_info(self, string: bytes | str) -> dict[str, dict[str, str]]:
        """Return state and nodes of each job; the controller soon forgets a job that has ended."""
        found = {job: {"State": "ENDED", "NodeList": ""} for job in self._registered}
        for line in (string if isinstance(string, str) else string.decode()).splitlines():
            job, state, nodes = line.split("|")
            found[job] = {"State": state if state in _ENDED else "RUNNING", "NodeList": nodes}
        return found


def _has_accounting() -> bool:
    """Return True where sacct knows the jobs."""
    try:
        return subprocess.run(["sacct", "--allocations", "--noheader"], capture_output=True).returncode == 0
    except OSError:
        return False


def _result(job: Any) -> JobReturn:
    """Wait for a job and return how it ended."""
    try:
        return job.result()
    except (FailedJobError, UncompletedJobError):
        what = f"job {job.job_id} ended without a result ({job.state.lower()})"
        log.error(f"{what}: {job.paths.stderr}")
        message = f"hydra/launcher=slurm: {what}, see {job.paths.stderr}; the same command again goes on with it"
        return JobReturn(status=JobStatus.FAILED, _return_value=Unfinished(message))
