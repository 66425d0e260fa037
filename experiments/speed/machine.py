"""What figures were measured on: no path and no name of a host."""

import platform
from collections.abc import Sequence
from importlib.metadata import version

import torch

from lightning_liver.machine import cores, processor


def machine(libraries: Sequence[str]) -> str:
    """Processor, cores, accelerator and versions."""
    versions = ", ".join(f"{name} {version(name)}" for name in libraries)
    card = f"{torch.cuda.get_device_name()}, " if torch.cuda.is_available() else ""
    return f"{card}{processor()}, {cores()} cores; Python {platform.python_version()}, {versions}"
