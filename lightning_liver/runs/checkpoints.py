"""Checkpoints of a run folder: read whole, or a mistake that names the file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn

from lightning_liver.data.slices import KEPT_AS, Normalization
from lightning_liver.errors import LiverError, explain, first_line
from lightning_liver.files import fault_of_zip
from lightning_liver.runs.hub import StoredNormalization

_OF_TRAINING = {
    "state_dict": dict,
    "pytorch-lightning_version": str,
    "epoch": int,
    "global_step": int,
    "loops": dict,
    "callbacks": dict,
    "optimizer_states": list,
    "lr_schedulers": list,
}


def read_tensors(path: Path) -> dict[str, Any]:
    """Read a file that torch.save wrote, onto the CPU; only tensors and plain values are loaded.

    Raises:
        LiverError: it is missing, damaged or of another kind.
    """
    if not path.is_file():
        raise LiverError(f"{path} is missing: the run has not trained so long, or is of another kind; give another run")
    if fault := fault_of_zip(path):
        raise LiverError(
            f"{path} is damaged or no checkpoint: copy it again, or delete it to train from the beginning ({fault})"
        )
    try:
        loaded = torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:  # torch raises many kinds for a damaged file
        raise LiverError(f"{path} is damaged or no checkpoint: copy it again ({first_line(error)})") from error
    if not isinstance(loaded, dict):
        raise LiverError(f"{path}: not a checkpoint of a training run; give another run")
    return loaded


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint of training: `state_dict` of the task, and the normalization below the data module's name.

    Raises:
        LiverError: it is missing, damaged or of another kind.
    """
    checkpoint = read_tensors(path)
    if not isinstance(checkpoint.get("state_dict"), dict) or not isinstance(checkpoint.get(KEPT_AS), dict):
        raise LiverError(f"{path}: not a checkpoint of a training run; give another run")
    return checkpoint


def read_training(path: Path, task: nn.Module) -> dict[str, Any]:
    """Read a checkpoint from which a task can be trained on, or tested.

    Raises:
        LiverError: it is missing, damaged, of another kind or of another task.
    """
    checkpoint = read_tensors(path)
    if wrong := [name for name, kind in _OF_TRAINING.items() if not isinstance(checkpoint.get(name), kind)]:
        raise LiverError(f"{path}: not a checkpoint of a training run, it has no {wrong[0]}; copy it again")
    if KEPT_AS in checkpoint:  # not in those of masked reconstruction
        normalization_of(checkpoint, path)
    wanted, found = task.state_dict(), checkpoint["state_dict"]
    for name in {**wanted, **found}:
        shapes = [tuple(each[name].shape) if isinstance(each.get(name), Tensor) else None for each in (wanted, found)]
        if shapes[0] != shapes[1]:
            raise LiverError(
                f"{path}: of another run: {name} has the shape {shapes[1]} there and {shapes[0]} in the model of the "
                "config; copy the run's own again"
            )
    return checkpoint


def load_weights(network: nn.Module, state: Mapping[str, Any], path: Path) -> None:
    """Load weights into a network.

    Raises:
        LiverError: they do not fit.
    """
    try:
        network.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise LiverError(f"{path}: the weights do not fit the model of its config: {first_line(error)}") from error


def normalization_of(checkpoint: Mapping[str, Any], path: Path) -> Normalization:
    """Return the normalization of the input in a checkpoint.

    Raises:
        LiverError: there is none.
    """
    try:
        kept = TypeAdapter(StoredNormalization).validate_python(checkpoint[KEPT_AS])
    except ValidationError as error:
        raise LiverError(
            f"{path} lacks the normalization of its input ({first_line(explain(error))}); give another run"
        ) from error
    return Normalization(**kept)
