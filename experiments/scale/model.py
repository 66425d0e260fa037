"""Model of the time of a training step, an epoch, a run and a sweep on several processes, from costs of one slice."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Machines:
    """Machines that train together.

    Args:
        per_node: processes of a node, each with a GPU, or with a thread of the processor.
        cores: of a node.
        shared: the processes compute on these cores, not on GPUs of their own.
        wire_gb_s: GB/s of the gradients between the processes of a node.
        between_gb_s: the same between nodes.
        latency_s: seconds of a message.
        storage_gb_s: GB/s that all nodes together read from the store.
    """

    per_node: int
    cores: int
    shared: bool
    wire_gb_s: float
    between_gb_s: float
    latency_s: float
    storage_gb_s: float

    def nodes(self, processes: int) -> int:
        return math.ceil(processes / self.per_node)


@dataclass(frozen=True)
class Work:
    """Work of a process.

    Args:
        batch: slices of a step.
        step_s: seconds of a step without waiting for data or gradients.
        slice_s: seconds of a core for reading, decoding and augmenting a slice.
        gradient_bytes: bytes of the gradients of a step.
    """

    batch: int
    step_s: float
    slice_s: float
    gradient_bytes: float


@dataclass(frozen=True)
class DataSet:
    """Volumes of a store, slices of each, and bytes of a slice."""

    volumes: int
    slices: int
    slice_bytes: float

    @property
    def bytes(self) -> float:
        return self.volumes * self.slices * self.slice_bytes


def wire_s(work: Work, machines: Machines, processes: int) -> float:
    """Return the seconds of a ring all-reduce of the gradients, none of it hidden behind the backward pass.

    Each process sends and receives 2 (p - 1) / p of the bytes in 2 (p - 1) messages.
    Source: Patarasuk and Yuan 2009, doi:10.1016/j.jpdc.2008.09.002.
    """
    if processes == 1:
        return 0.0
    rate = machines.wire_gb_s if machines.nodes(processes) == 1 else min(machines.wire_gb_s, machines.between_gb_s)
    moved = 2 * (processes - 1) / processes * work.gradient_bytes
    return moved / (rate * 1e9) + 2 * (processes - 1) * machines.latency_s


def data_s(work: Work, machines: Machines, processes: int) -> float:
    """Return the seconds that the cores of a process need for the slices of a step."""
    mine = machines.cores / min(processes, machines.per_node)
    return work.batch * work.slice_s / (min(mine, 1.0) if machines.shared else mine)


def step_s(work: Work, machines: Machines, processes: int) -> float:
    """Return the seconds of a step.

    Processes that compute on the cores load slices in between; with GPUs of their own they load meanwhile.
    """
    mine = machines.cores / min(processes, machines.per_node)
    compute = work.step_s / min(mine, 1.0) if machines.shared else work.step_s
    data, wire = data_s(work, machines, processes), wire_s(work, machines, processes)
    return (compute + data if machines.shared else max(compute, data)) + wire


def limit(work: Work, machines: Machines, processes: int) -> str:
    """Return what takes the longest part of a step: computing, data or gradients."""
    parts = {
        "computing": work.step_s,
        "data": data_s(work, machines, processes),
        "gradients": wire_s(work, machines, processes),
    }
    return max(parts, key=lambda name: parts[name])


def efficiency(work: Work, machines: Machines, processes: int) -> float:
    """Return slices per second over those of one process, by the number of processes."""
    return step_s(work, machines, 1) / step_s(work, machines, processes)


def reading_s(data: DataSet, machines: Machines, processes: int) -> float:
    """Return the seconds in which every node reads the whole store once, as in the first epoch."""
    return machines.nodes(processes) * data.bytes / (machines.storage_gb_s * 1e9)


def epoch_without_copies_s(slices: int, data: DataSet, machines: Machines) -> float:
    """Return the seconds of storage for an epoch if no copy is kept, since each slice then brings its whole case."""
    return slices * data.bytes / data.volumes / (machines.storage_gb_s * 1e9)


def sweep_s(runs: int, run_s: float, processes: int) -> float:
    """Return the seconds of a sweep whose runs have a process each."""
    return math.ceil(runs / processes) * run_s
