"""torch.compile of what a training step computes."""

import os
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from lightning_liver.errors import LiverError
from lightning_liver.training.settings import TrainerOptions

_COMPILERS = ("g++", "c++", "clang++")


def compiled(network: nn.Module, options: TrainerOptions) -> Callable[[Tensor], Any] | None:
    """The network's forward pass, compiled with its first call; None where the options do not ask for it.

    The network itself stays as it is: validation meets slices of many sizes, and would compile it anew for each.

    Args:
        options: settled.

    Raises:
        LiverError: nothing is here to compile with.
    """
    if not options.compile:
        return None
    if options.accelerator == "cuda" and find_spec("triton") is None:
        raise LiverError("trainer.compile=true needs the package triton on a GPU. Install it, or train without.")
    if options.accelerator == "cpu" and not any(map(shutil.which, (os.environ.get("CXX") or "", *_COMPILERS))):
        raise LiverError(
            f"trainer.compile=true needs a C++ compiler ({', '.join(_COMPILERS)}). Install one, or train without."
        )
    made = torch.compile(network, dynamic=False)
    return lambda images: made(images)  # as a module it would be a part of the task, with weights of its own name
