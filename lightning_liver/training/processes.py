"""Training by several processes: one for each device, on one or several nodes.

The processes of a node are started here, or all of them by torchrun or srun. They share the training alone; the first
one does everything else, so that tables, pictures and scores are those of a run by one process.
"""

import multiprocessing
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, NamedTuple

import torch
from torch import distributed
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException, start_processes

from lightning_liver.errors import LiverError
from lightning_liver.machine import started_as
from lightning_liver.training.settings import TrainerOptions, available_accelerator

_WAIT = timedelta(days=2)  # for the first process, which prepares; a process that dies is noticed by its starter


class Place(NamedTuple):
    """Place of this process among those that train together.

    Args:
        rank: of all nodes.
        local_rank: of this node.
        world: number of processes.
    """

    rank: int = 0
    local_rank: int = 0
    world: int = 1

    @property
    def is_first(self) -> bool:
        return self.rank == 0


def processes_of(options: TrainerOptions) -> int:
    """Return the number of devices of a node that options ask for, one process each.

    Raises:
        LiverError: more devices than there are, or none.
    """
    accelerator = available_accelerator() if options.accelerator == "auto" else options.accelerator
    devices, known = options.devices, _known_devices(accelerator)
    if isinstance(devices, str):
        text = devices.strip("[] ")
        devices = -1 if text in ("auto", "-1") else [int(each) for each in text.split(",") if each.strip().isdecimal()]
        if isinstance(devices, list) and len(devices) == 1 and not options.devices.startswith("["):  # type: ignore[union-attr]
            devices = devices[0]
    if devices == -1:
        return known or 1
    count = len(devices) if isinstance(devices, list) else devices
    largest = max(devices, default=-1) + 1 if isinstance(devices, list) else count
    if count < 1 or (known is not None and largest > known):
        here = f"1 to {known}, as many as are here" if known is not None else "1 or more"
        raise LiverError(f"trainer.devices={options.devices}: expected {here}; give another number")
    return count


def _known_devices(accelerator: str) -> int | None:
    """Return the number of devices; None for a processor, which any number of processes may share.

    None, too, where there is no such device: resolve_auto says so.
    """
    if accelerator in ("cuda", "gpu"):
        return torch.cuda.device_count() or None
    return 1 if accelerator == "mps" else None


def external_place(wanted: int) -> Place | None:
    """Return the place that torchrun or srun gave this process; None where it was started alone.

    Args:
        wanted: number of processes that the options ask for.

    Raises:
        LiverError: as many processes as started are not those of the options.
    """
    started = started_as()
    if started is None:
        return None
    place = Place(*started)
    if place.world != wanted:
        raise LiverError(
            f"trainer.devices: torchrun or srun started {place.world} processes, expected trainer.devices times "
            f"trainer.num_nodes = {wanted}; make the two agree"
        )
    return place


@contextmanager
def joined(place: Place) -> Iterator[None]:
    """Join the processes that torchrun or srun started; afterwards leave them.

    Raises:
        LiverError: the first process cannot be reached.
    """
    os.environ.setdefault("MASTER_ADDR", _first_host())
    os.environ.setdefault("MASTER_PORT", str(20_000 + int(os.environ.get("SLURM_JOB_ID", "0")) % 10_000))
    os.environ.update(RANK=str(place.rank), LOCAL_RANK=str(place.local_rank), WORLD_SIZE=str(place.world))
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    try:
        distributed.init_process_group(backend, rank=place.rank, world_size=place.world, timeout=_WAIT)
    except (RuntimeError, ValueError) as error:
        address = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        raise LiverError(f"MASTER_ADDR: the first process cannot be reached at {address} ({error})") from error
    try:
        yield
    finally:
        if distributed.is_initialized():
            distributed.destroy_process_group()


def _first_host() -> str:
    """Return the first of Slurm's nodes, as in SLURM_NODELIST=gpu[03-05]; else this machine."""
    nodes = os.environ.get("SLURM_NODELIST", "127.0.0.1")
    head, bracket, rest = nodes.partition("[")
    return (head + rest.replace("]", "").split(",")[0].split("-")[0]) if bracket else nodes.split(",")[0]


def from_first(value: Any) -> Any:
    """Return the value of the first process in all of them."""
    box = [value]
    distributed.broadcast_object_list(box, src=0)
    return box[0]


def of_all(value: Any) -> list[Any]:
    """Return the values of all processes in all of them, by rank."""
    values: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(values, value)
    return values


def merged(own: dict[Any, Any], *, world: int) -> dict[Any, Any]:
    """Return the entries of the dicts of all processes that train together."""
    return own if world == 1 else {key: value for each in of_all(own) for key, value in each.items()}


def run_together(function: Callable[..., Any], arguments: Sequence[Any], *, processes: int) -> Any:
    """Call function(place, *arguments) in several new processes and return what that of the first returns.

    If one of them ends early, the others are ended, too.

    Args:
        function: of a module, and its arguments can be pickled.

    Raises:
        Exception: what one of them raised; a LiverError where one was killed.
    """
    context = multiprocessing.get_context("spawn")
    answers = context.SimpleQueue()
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port()), "WORLD_SIZE": str(processes)}
    started = start_processes(  # type: ignore[no-untyped-call]
        _called, (function, tuple(arguments), shared, answers), nprocs=processes, join=False, start_method="spawn"
    )
    assert started is not None
    try:
        while not started.join():
            pass
    except (ProcessExitedException, ProcessRaisedException) as ended:
        raised = [value for kind, value in _taken(answers) if kind == "raised"]
        if own := [error for error in raised if not _is_lost_connection(error)]:
            raise own[0] from None
        raise LiverError(
            f"trainer.devices={processes}: a process of the training ended early ({_first_line(ended)}), and the "
            "others were stopped; the same command continues after the last epoch"
        ) from ended
    finally:
        for process in started.processes:
            if process.is_alive():
                process.terminate()
    return next((value for kind, value in _taken(answers) if kind == "returned"), None)


def _taken(answers: Any) -> list[tuple[str, Any]]:
    found = []
    while not answers.empty():
        found.append(answers.get())
    return found


def _is_lost_connection(error: Exception) -> bool:
    """Return True for the error of a process that another one has left."""
    return isinstance(error, RuntimeError) and any(
        word in str(error) for word in ("gloo", "NCCL", "Connection", "recv")
    )


def _first_line(error: Exception) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _called(
    rank: int, function: Callable[..., Any], arguments: Sequence[Any], shared: dict[str, str], answers: Any
) -> None:
    """Run in a new process."""
    place = Place(rank, rank, int(shared["WORLD_SIZE"]))
    os.environ.update(shared, RANK=str(rank), LOCAL_RANK=str(rank), NODE_RANK="0")
    try:
        value = function(place, *arguments)
    except BaseException as error:
        if isinstance(error, Exception):
            answers.put(("raised", error))
        raise
    if place.is_first:
        answers.put(("returned", value))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
