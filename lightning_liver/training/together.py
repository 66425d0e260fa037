"""Training of a run by several processes: the part that all of them do."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from omegaconf import DictConfig

from lightning_liver.errors import LiverError
from lightning_liver.training.assembly import TrainingRun, assemble
from lightning_liver.training.processes import Place, external_place, from_first, of_all, processes_of, run_together
from lightning_liver.training.run_state import RunState
from lightning_liver.training.settings import TrainerOptions
from lightning_liver.training.trainer import quieten


class Speed(NamedTuple):
    """Speed of a training: slices per second, and the fraction of the time spent waiting for data."""

    slices_per_s: float | None
    wait_share: float | None


def place_of(options: TrainerOptions) -> Place | None:
    """Return the place of this process among those that torchrun or srun started; None where it is the only one.

    Raises:
        LiverError: as many were started as the options do not ask for, or several nodes without either.
    """
    place = external_place(processes_of(options) * options.num_nodes)
    if place is None and options.num_nodes > 1:
        raise LiverError(
            f"trainer.num_nodes={options.num_nodes}: expected the command to be started on each node by srun, or by "
            f"torchrun --nnodes={options.num_nodes} --nproc-per-node={options.devices} train.py ...; start it so"
        )
    return place


def agree(folder: Path, config: str) -> Path:
    """Return the run folder of the first process in all of them.

    Args:
        config: hash of all that must be equal.

    Raises:
        LiverError: a process has another config.
    """
    if len(set(of_all(config))) > 1:
        raise LiverError("the processes have different configs; type the same command on every node")
    first: Path = from_first(folder)
    return first


def fit_here(run: TrainingRun, last: Path) -> Speed:
    """Train by this process, from the last checkpoint if there is one."""
    run.trainer.fit(run.task, run.data, ckpt_path=last if last.exists() else None, weights_only=True)
    return Speed(run.throughput.slices_per_s, run.throughput.wait_share)


def fit_together(place: Place, cfg: DictConfig, options: TrainerOptions, folder: Path) -> Speed:
    """Train with the other processes; the first one writes checkpoints, curves and chosen.json.

    Args:
        options: of the run that the first process assembled, without any auto.
    """
    quieten()
    if place.is_first and not logging.getLogger().handlers:
        logging.basicConfig(format="%(message)s", level=logging.INFO)
    if options.threads is not None:
        options = replace(options, threads=max(options.threads // processes_of(options), 1))
    state = RunState(folder, writes=place.is_first)
    return fit_here(assemble(cfg, options, state, place), state.files.last)


def fit_on_node(cfg: DictConfig, options: TrainerOptions, folder: Path) -> Speed:
    """Train by new processes on this node, one for each device."""
    count = processes_of(options)
    speed: Speed = run_together(fit_together, (cfg, options, folder), processes=count)
    return speed
