"""ONNX files of networks, with their normalisation in the file's metadata."""

import json
import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnxruntime
import onnxscript  # noqa: F401  torch.onnx needs it, and would fail late without
import torch
from torch import nn

from lightning_liver.types.tensors import Images, Masks

KEY = "lightning_liver"  # of the metadata, whose value is JSON
INPUT, OUTPUT = "image", "logits"

_AXES = {0: "batch", 2: "height", 3: "width"}


def write(network: nn.Module, images: Images, document: dict[str, Any], path: Path) -> None:
    """Write a network that takes any number of slices of any size that it accepted before; weights are in the file.

    Args:
        images: example input.
        document: written into metadata_props as JSON, under KEY.
    """
    # It warns at every export that torchvision's operators are missing, which no network here uses.
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch warns of its own calls
        program = torch.onnx.export(
            network,
            (images,),
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=(_AXES,),
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    program.model.metadata_props[KEY] = json.dumps(document)
    program.save(path, external_data=False)


def read(path: Path) -> tuple[Callable[[Images], Masks], dict[str, Any]]:
    """Read the network of a file, run by ONNX Runtime on the processor, and its document."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    document = json.loads(session.get_modelmeta().custom_metadata_map[KEY])
    return lambda images: torch.from_numpy(session.run([OUTPUT], {INPUT: images.numpy()})[0]), document
