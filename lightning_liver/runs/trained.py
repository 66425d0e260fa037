"""Trained networks read from run folders, with their thresholds, post-processing and test cases."""

import math
from pathlib import Path
from typing import Any, Literal

import torch
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from torch import Tensor, nn
from yaml import YAMLError

from lightning_liver.build import build
from lightning_liver.config import read_config
from lightning_liver.data.slices import KEPT_AS, Normalization
from lightning_liver.data.splits import Split
from lightning_liver.errors import LiverError, first_line
from lightning_liver.inference.decision import post_process_of, thresholds_of
from lightning_liver.inference.network import TrainedNetwork
from lightning_liver.inference.postprocess import PostProcess
from lightning_liver.inference.thresholds import Thresholds
from lightning_liver.run_folder import NAMES, RunFolder

Weights = Literal["best", "pretrained"]


def read_run(run: Path, *, weights: Weights = "best", option: str = "run") -> TrainedNetwork:
    """Read the network of a run folder, on the processor; of its files only tensors and plain values are loaded.

    Args:
        weights: the best ones of its training, or those before it, which self_taught made without a mask.
        option: by which the folder was given, for messages.

    Raises:
        LiverError: it is no run folder, has no such weights, or they do not fit its model.
    """
    files = RunFolder(run)
    if not files.config.is_file():
        raise LiverError(f"{option}={run}: not a run folder, it has no {NAMES.config}")
    try:
        config = read_config(files.config)
        network: nn.Module = build(config.model)
        multiple = math.lcm(config.inference.multiple, getattr(network, "multiple", 1))
        spacing_mm = config.data.get("spacing_mm")
    except (OmegaConfBaseException, YAMLError, AttributeError, ValueError) as error:
        raise LiverError(f"{files.config}: not the config of a training run ({first_line(error)})") from error
    checkpoint = read_checkpoint(files.best)
    state = network_weights(checkpoint["state_dict"]) if weights == "best" else _loaded(files.pretrained)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise LiverError(f"{run}: the weights do not fit the model of its config: {first_line(error)}") from error
    return TrainedNetwork(network.eval(), _normalization(checkpoint, files.best), spacing_mm, multiple, config)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint of training: `state_dict` of the task, and the normalization below the data module's name.

    Raises:
        LiverError: it is missing, damaged or of another kind.
    """
    checkpoint = _loaded(path)
    if not isinstance(checkpoint.get("state_dict"), dict) or KEPT_AS not in checkpoint:
        raise LiverError(f"{path}: not a checkpoint of a training run; give another run")
    return checkpoint


def network_weights(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of the network among those of a task."""
    return {name.removeprefix("network."): tensor for name, tensor in state.items() if name.startswith("network.")}


def decision_of(typed: DictConfig, run: TrainedNetwork, folder: Path) -> tuple[Thresholds, PostProcess]:
    """Return thresholds and post-processing of `inference`: the typed ones, else the run's.

    Args:
        folder: of the run, whose decision.json has the tuned thresholds.

    Raises:
        LiverError: an option is unknown or out of range, or thresholds are asked for that were never tuned.
    """
    of_run: Any = OmegaConf.to_container(run.config.inference, resolve=True)
    asked: Any = OmegaConf.to_container(typed, resolve=True)
    thresholds = asked.get("thresholds") if asked.get("thresholds") is not None else of_run.get("thresholds")
    return thresholds_of(thresholds, folder), post_process_of(asked.get("postprocess"), of_run.get("postprocess"))


def tested_cases(run: Path) -> tuple[str, ...]:
    """Return the cases that a run was tested on; empty if its folder has no split."""
    path = RunFolder(run).split
    return Split.read(path).test if path.exists() else ()


def _normalization(checkpoint: dict[str, Any], path: Path) -> Normalization:
    try:
        kept = checkpoint[KEPT_AS]
        return Normalization(**(kept | {"window_hu": tuple(kept["window_hu"])}))
    except (TypeError, KeyError) as error:
        raise LiverError(f"{path} lacks the normalization of its input ({error}); give another run") from error


def _loaded(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise LiverError(f"{path} is missing: the run has not trained so long, or is of another kind; give another run")
    try:
        loaded = torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:  # torch raises many kinds for a damaged file
        raise LiverError(f"{path} is damaged or no checkpoint: copy it again ({first_line(error)})") from error
    if not isinstance(loaded, dict):
        raise LiverError(f"{path}: not a checkpoint of a training run; give another run")
    return loaded
