"""What figures were measured on: no path and no name of a host."""

import platform
import re
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import torch

from lightning_liver.machine import cores


def machine(libraries: Sequence[str]) -> str:
    """Processor, cores, accelerator and versions."""
    versions = ", ".join(f"{name} {version(name)}" for name in libraries)
    card = f"{torch.cuda.get_device_name()}, " if torch.cuda.is_available() else ""
    return f"{card}{_processor()}, {cores()} cores; Python {platform.python_version()}, {versions}"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.*)", info.read_text()) if info.exists() else []
    return names[0] if names else platform.processor() or platform.machine()
