"""A finished run read back: its config, its network with its weights, and how that network sees HU."""

import math
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from torch import Tensor, nn
from yaml import YAMLError

from lightning_liver.build import build
from lightning_liver.config import read_config
from lightning_liver.data.slices import KEPT_AS, Normalization
from lightning_liver.data.splits import Split
from lightning_liver.errors import LiverError
from lightning_liver.inference.decision import post_process_of, thresholds_of
from lightning_liver.inference.postprocess import PostProcess
from lightning_liver.inference.thresholds import Thresholds

Weights = Literal["best", "pretrained"]

_FILES = {"best": "checkpoints/best.ckpt", "pretrained": "pretraining/network.pt"}


class Finished(NamedTuple):
    """A run of some folder.

    Args:
        config: what it was trained with.
        network: in evaluation mode, on the processor.
        normalization: how HU became its input, for SliceDataModule.load_state_dict.
        multiple: height and width that the network accepts are multiples of this.
    """

    config: DictConfig
    network: nn.Module
    normalization: dict[str, Any]
    multiple: int


def read_run(run: Path, *, weights: Weights = "best", option: str = "run") -> Finished:
    """Read a run folder; of its files only tensors and plain values are loaded.

    Args:
        weights: the best ones of its training, or those of before, which self_taught made without a mask.
        option: by which the folder was given, for messages.

    Raises:
        LiverError: it is no run folder, has no such weights, or they do not fit its model.
    """
    config = run / ".hydra" / "config.yaml"
    if not config.is_file():
        raise LiverError(f"{option}={run}: not a run folder, it has no .hydra/config.yaml")
    try:
        saved = read_config(config)
        network: nn.Module = build(saved.model)
        multiple = math.lcm(saved.inference.multiple, getattr(network, "multiple", 1))
    except (OmegaConfBaseException, YAMLError, AttributeError, ValueError) as error:
        raise LiverError(f"{config}: not the config of a training run ({_first_line(error)})") from error
    checkpoint = read_checkpoint(run / _FILES["best"])
    state = network_weights(checkpoint["state_dict"]) if weights == "best" else _loaded(run / _FILES[weights])
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise LiverError(f"{run}: the weights do not fit the model of its config: {_first_line(error)}") from error
    return Finished(saved, network.eval(), checkpoint[KEPT_AS], multiple)


def appearance(run: Finished, folder: Path) -> Normalization:
    """How a run's network sees HU.

    Raises:
        LiverError: the checkpoint does not say it.
    """
    try:
        return Normalization(**(run.normalization | {"window_hu": tuple(run.normalization["window_hu"])}))
    except (TypeError, KeyError) as error:
        raise LiverError(f"{folder}: its checkpoint does not say how HU become input: {error}") from error


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint of training: `state_dict` of the task, and how HU became input below the data module's name.

    Raises:
        LiverError: it is missing, damaged or of another kind.
    """
    checkpoint = _loaded(path)
    if not isinstance(checkpoint.get("state_dict"), dict) or KEPT_AS not in checkpoint:
        raise LiverError(f"{path}: not a checkpoint of a training run; give another run")
    return checkpoint


def network_weights(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights of the network among those of a task."""
    return {name.removeprefix("network."): tensor for name, tensor in state.items() if name.startswith("network.")}


def _loaded(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise LiverError(f"{path} is missing: the run is not that far, or of another kind; give another run")
    try:
        loaded = torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:  # torch raises many kinds for a damaged file
        raise LiverError(f"{path} is damaged or no checkpoint: copy it again ({_first_line(error)})") from error
    if not isinstance(loaded, dict):
        raise LiverError(f"{path}: not a checkpoint of a training run; give another run")
    return loaded


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def decision_of(typed: DictConfig, run: Finished, folder: Path) -> tuple[Thresholds, PostProcess]:
    """Thresholds and post-processing of `inference`: what was typed, else what the run had.

    Args:
        folder: of the run, where decision.json says what its validation found.

    Raises:
        LiverError: an option is unknown or out of range, or thresholds are asked for that were never tuned.
    """
    of_run: Any = OmegaConf.to_container(run.config.inference, resolve=True)
    asked: Any = OmegaConf.to_container(typed, resolve=True)
    thresholds = asked.get("thresholds") if asked.get("thresholds") is not None else of_run.get("thresholds")
    return thresholds_of(thresholds, folder), post_process_of(asked.get("postprocess"), of_run.get("postprocess"))


def tested_cases(run: Path) -> tuple[str, ...]:
    """The cases that a run was tested on; none where it says nothing of a split."""
    path = run / "split.json"
    return Split.read(path).test if path.exists() else ()
