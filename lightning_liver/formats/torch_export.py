"""torch.export files of networks, which PyTorch loads without their classes."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.export import Dim

from lightning_liver.types.tensors import Images, Masks

FILE = "lightning_liver.json"  # of the archive's extra files

_AXES = dict.fromkeys((0, 2, 3), Dim.DYNAMIC)


def write(network: nn.Module, images: Images, document: dict[str, Any], path: Path) -> None:
    """Write a network that takes any number of slices of any size that it accepted before.

    Args:
        images: example input.
        document: written into the archive as JSON, under FILE.
    """
    with warnings.catch_warnings(), path.open("wb") as file:
        warnings.simplefilter("ignore", FutureWarning)  # torch warns of its own calls
        program = torch.export.export(network, (images,), dynamic_shapes=(_AXES,))
        torch.export.save(program, file, extra_files={FILE: json.dumps(document)})


def read(path: Path) -> tuple[Callable[[Images], Masks], dict[str, Any]]:
    """Read the network of a file, and its document."""
    extra = {FILE: ""}
    with warnings.catch_warnings(), path.open("rb") as file:
        warnings.simplefilter("ignore", FutureWarning)
        network: Callable[[Images], Masks] = torch.export.load(file, extra_files=extra).module()
    return network, json.loads(extra[FILE])
