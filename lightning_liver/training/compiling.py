"""torch.compile of the network in training steps."""

import os
import shutil
import sysconfig
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lightning_liver.errors import LiverError
from lightning_liver.training.settings import TrainerOptions

_OF_CPP = ("g++", "c++", "clang++")
_OF_C = ("gcc", "cc", "clang")
_OLDEST = (7, 0)  # Volta, the oldest that Triton supports


def is_wanted(options: TrainerOptions, *, hooked: bool) -> bool:
    """Return True if training steps are compiled; "auto" does so on a GPU where all that it needs is installed.

    Args:
        options: resolved, except for this one.
        hooked: terms of a strategy may hook into the network, which a compiled one would bypass.
    """
    if options.compile == "auto":
        return options.accelerator == "cuda" and not hooked and _missing("cuda") is None
    return bool(options.compile)


def compiled(network: nn.Module, options: TrainerOptions) -> Callable[[Tensor], Any] | None:
    """Return the network's forward pass, compiled at its first call; None if the options do not ask for it.

    The network itself stays as it is: validation has slices of many sizes, and would compile it for each.

    Args:
        options: without any auto.

    Raises:
        LiverError: a compiler, or another requirement, is missing.
    """
    if not is_wanted(options, hooked=False):
        return None
    missing = _missing(options.accelerator)
    if missing:
        raise LiverError(f"trainer.compile=true needs {missing}. Or train with trainer.compile=false.")
    made = torch.compile(network, dynamic=False)
    return lambda images: made(images)  # a module would become a part of the task, with weights of other names


def _missing(accelerator: str) -> str | None:
    """Return the first missing requirement of torch.compile: Triton compiles a launcher in C for each kernel."""
    if accelerator == "cpu":
        return None if _has_compiler("CXX", _OF_CPP) else f"a C++ compiler ({', '.join(_OF_CPP)})"
    if accelerator != "cuda":
        return None
    if torch.version.hip is None and torch.cuda.get_device_capability() < _OLDEST:
        return f"a GPU of compute capability {_OLDEST[0]}.{_OLDEST[1]} or newer"
    if find_spec("triton") is None:
        return "the package triton on a GPU"
    if os.name == "nt":  # its Triton brings a compiler along
        return None
    if not _has_compiler("CC", _OF_C):
        return f"a C compiler ({', '.join(_OF_C)})"
    header = Path(sysconfig.get_paths()["include"]) / "Python.h"
    return None if header.exists() else f"{header}, as a package like python3-dev has it"


def _has_compiler(variable: str, names: Sequence[str]) -> bool:
    return any(map(shutil.which, (os.environ.get(variable) or "", *names)))
