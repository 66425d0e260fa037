"""A network as an ONNX file, with what it needs to know of scans among the file's metadata."""

import json
import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnxruntime
import onnxscript  # noqa: F401  torch.onnx needs it, and says so late
import torch
from torch import nn

from lightning_liver.types import Images, Masks

KEY = "lightning_liver"  # of the metadata, whose value is JSON
INPUT, OUTPUT = "image", "logits"

_AXES = {0: "batch", 2: "height", 3: "width"}


def write(network: nn.Module, images: Images, document: dict[str, Any], path: Path) -> None:
    """Write a network that takes any number of slices of any size that it accepted before; weights are in the file.

    Args:
        images: an example of its input.
        document: goes into metadata_props as JSON, under KEY.
    """
    # it says at every export that torchvision's operators are not there, which no network here uses
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch warns of its own use of itself
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
    """The network of a file as ONNX Runtime computes it on the processor, and its document."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    document = json.loads(session.get_modelmeta().custom_metadata_map[KEY])
    return lambda images: torch.from_numpy(session.run([OUTPUT], {INPUT: images.numpy()})[0]), document
