"""Description of the machine, without paths or host names."""

import platform
from collections.abc import Sequence
from importlib.metadata import version

import torch

from lightning_liver.machine import cores, processor


def machine(libraries: Sequence[str]) -> str:
    """Return accelerator, processor, cores and versions in a line."""
    versions = ", ".join(f"{name} {version(name)}" for name in libraries)
    card = f"{torch.cuda.get_device_name()}, " if torch.cuda.is_available() else ""
    return f"{card}{processor()}, {cores()} cores; Python {platform.python_version()}, {versions}"
