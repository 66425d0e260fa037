"""torch.compile of what a training step computes."""

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
_OLDEST = (7, 0)  # Volta: Triton makes nothing for what is older


def is_wanted(options: TrainerOptions, *, looked_into: bool) -> bool:
    """Whether training steps are compiled; "auto" is where a GPU trains, and all is here that it takes.

    Args:
        options: settled, but for this.
        looked_into: by what a strategy adds to a step, which would see nothing.
    """
    if options.compile == "auto":
        return options.accelerator == "cuda" and not looked_into and _missing("cuda") is None
    return bool(options.compile)


def compiled(network: nn.Module, options: TrainerOptions) -> Callable[[Tensor], Any] | None:
    """The network's forward pass, compiled with its first call; None where the options do not ask for it.

    The network itself stays as it is: validation meets slices of many sizes, and would compile it anew for each.

    Args:
        options: settled.

    Raises:
        LiverError: nothing is here to compile with.
    """
    if not is_wanted(options, looked_into=False):
        return None
    missing = _missing(options.accelerator)
    if missing:
        raise LiverError(f"trainer.compile=true needs {missing}. Or train with trainer.compile=false.")
    made = torch.compile(network, dynamic=False)
    return lambda images: made(images)  # as a module it would be a part of the task, with weights of its own name


def _missing(accelerator: str) -> str | None:
    """What torch.compile would end without: Triton compiles a launcher in C for each of its kernels."""
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
