"""Folders of `liver-export format=hub`: a network rebuilt from files of a stranger, without running code of theirs."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import torch
from omegaconf import DictConfig, OmegaConf
from pydantic import Field, TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from typing_extensions import TypedDict

from lightning_liver.build import build_saved
from lightning_liver.config import is_allowed
from lightning_liver.data.slices import Normalization
from lightning_liver.errors import LiverError, explain, first_line
from lightning_liver.formats.hub import CONFIG, WEIGHTS
from lightning_liver.inference.network import TrainedNetwork
from lightning_liver.types import STRUCTURES
from lightning_liver.types.options import Count, Finite, Natural, Positive, Probability, Window

BUILT = ("model", "loss", "optimizer", "scheduler")  # groups of the config that are built

_TARGET = "_target_"
_BESIDE = ("normalization", "document")  # parts of config.json that are no part of a config
_MOST_CONTEXT, _MOST_MULTIPLE = 64, 1024  # larger ones would fill the memory


class StoredNormalization(TypedDict):
    """Normalization of the input, as checkpoints and exported networks have it."""

    window_hu: Window
    context: Annotated[Natural, Field(le=_MOST_CONTEXT)]
    mean: Finite
    std: Positive


class _Data(TypedDict):
    spacing_mm: Positive | None
    context: Natural
    window_hu: Window
    standardise: bool


class _Inference(TypedDict):
    multiple: Annotated[Count, Field(le=_MOST_MULTIPLE)]
    flips: bool
    thresholds: tuple[Probability, Probability]
    postprocess: dict[str, Any]


class _Content(TypedDict):
    model: dict[str, Any]
    loss: dict[str, Any]
    optimizer: dict[str, Any]
    scheduler: dict[str, Any]
    data: _Data
    inference: _Inference
    normalization: StoredNormalization
    document: dict[str, Any]


def is_hub(folder: Path) -> bool:
    """Return True for a folder with the files of an exported network, and without those of a run."""
    return (folder / CONFIG).is_file() and (folder / WEIGHTS).is_file()


def read_hub(folder: Path) -> TrainedNetwork:
    """Read the network of a folder; the targets of its config must be known ones, its values plain.

    Raises:
        LiverError: a file is damaged, the config names what could be anything, or the files do not fit together.
    """
    content = _content(folder)
    path = folder / CONFIG
    for group in BUILT:
        _refuse_unknown(content[group], group)  # type: ignore[literal-required]
    for place, text in _texts(content, ""):
        if "${" in text:
            raise LiverError(f"{path}: {place}={text}: expected a plain value; remove the interpolation")
    kept = content["normalization"]
    normalization = Normalization(kept["window_hu"], kept["context"], kept["mean"], kept["std"])
    try:
        state = load_file(folder / WEIGHTS)
    except (SafetensorError, OSError, ValueError) as error:
        raise LiverError(f"{folder / WEIGHTS} is damaged: copy it again ({first_line(error)})") from error
    config = OmegaConf.create({name: value for name, value in content.items() if name not in _BESIDE})
    network = _network(config, state, normalization.context, folder)
    multiple = math.lcm(config.inference.multiple, getattr(network, "multiple", 1))
    return TrainedNetwork(network, normalization, config.data.spacing_mm, multiple, config)


def read_exported(folder: Path) -> tuple[nn.Module, dict[str, Any]]:
    """Return the network of a folder, to compare it with the original, and its document.

    Raises:
        LiverError: as read_hub.
    """
    return read_hub(folder).network, _content(folder)["document"]


def _network(config: DictConfig, state: Mapping[str, Tensor], context: int, folder: Path) -> nn.Module:
    """Build the network, load its weights and try it on a slice."""
    network = build_saved(config.model, folder / CONFIG)
    try:
        network.load_state_dict(state)
        edge = math.lcm(config.inference.multiple, getattr(network, "multiple", 1))
        with torch.inference_mode():
            logits = network.eval()(torch.zeros(1, 2 * context + 1, edge, edge))
        if logits.shape != (1, len(STRUCTURES), edge, edge):
            raise ValueError(f"it makes {tuple(logits.shape)} of a slice of {edge} x {edge} pixels")
    except Exception as error:  # what a network raises is its own affair
        raise LiverError(f"{folder}: weights, network and slices do not fit together: {first_line(error)}") from error
    made: nn.Module = network
    return made


def _content(folder: Path) -> _Content:
    path = folder / CONFIG
    try:
        content: _Content = TypeAdapter(_Content).validate_json(path.read_bytes())
    except ValidationError as error:
        raise LiverError(f"{path} is damaged: copy it again ({first_line(explain(error))})") from error
    except (OSError, RecursionError) as error:
        raise LiverError(f"{path} cannot be read: copy it again ({first_line(error)})") from error
    return content


def _refuse_unknown(tree: Any, group: str) -> None:
    for place, target in _targets(tree, group):
        if not isinstance(target, str) or not is_allowed(target, group):
            raise LiverError(
                f"{CONFIG}: {place}={target!r}: expected a {group} of lightning_liver, torch, MONAI or "
                "segmentation_models_pytorch, since such a folder may come from anyone; format=onnx takes any network"
            )


def _targets(tree: Any, place: str) -> Iterator[tuple[str, Any]]:
    """Yield place and value of every target in a tree."""
    if isinstance(tree, Mapping):
        for name, value in tree.items():
            if name == _TARGET:
                yield f"{place}.{name}", value
            else:
                yield from _targets(value, f"{place}.{name}")
    elif isinstance(tree, list):
        for number, value in enumerate(tree):
            yield from _targets(value, f"{place}[{number}]")


def _texts(tree: Any, place: str) -> Iterator[tuple[str, str]]:
    """Yield place and text of every text in a tree, keys included."""
    if isinstance(tree, str):
        yield place, tree
    elif isinstance(tree, Mapping):
        for name, value in tree.items():
            yield place, str(name)
            yield from _texts(value, f"{place}.{name}".lstrip("."))
    elif isinstance(tree, list):
        for value in tree:
            yield from _texts(value, place)
