"""Weights from a file. Only tensors are read, whatever else it holds, so that no file can execute code."""

import logging
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from lightning_liver.errors import LiverError, first_line
from lightning_liver.files import fault_of_zip
from lightning_liver.run_folder import NAMES, RunFolder

log = logging.getLogger(__name__)

WANTED = "a run folder of ours, a Lightning checkpoint, a state_dict (.pt, .pth) or a .safetensors file"

_KEYS = ("state_dict", "model", "model_state_dict", "network_weights", "net", "weights")  # network_weights: nnU-Net
_DEPTH = 3  # of such keys below each other; a file may also hold itself
_OURS = "network."  # of SegmentationTask


def read_weights(source: str | Path) -> dict[str, Tensor]:
    """Read the tensors of a network by name, onto the CPU; other content of our checkpoints is left out.

    A run folder is read from checkpoints/best.ckpt, else last.ckpt. A file that does not end in .safetensors must be
    torch's, with its tensors by name, or below a well-known key: state_dict, model, model_state_dict,
    network_weights (nnU-Net), net, weights.

    Raises:
        LiverError: there is no such file, it is damaged, holds no tensors, or holds what could be code.
    """
    path = _file(Path(source))
    saved: Any = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    weights = _tensors(_innermost(saved))
    if not weights:
        raise LiverError(f"{path} holds no tensors by name, but {_seen(saved)}: finetune.source is {WANTED}")
    return _bare(weights) if "pytorch-lightning_version" in saved else weights


def _file(source: Path) -> Path:
    try:
        path = _checkpoint(source) if source.is_dir() else source
        if not path.is_file():
            raise LiverError(f"finetune.source: there is no file {path}. It is {WANTED}")
        if path.stat().st_size == 0:
            raise LiverError(f"{path} is empty: copy it again, or take another finetune.source")
    except OSError as error:
        raise LiverError(f"finetune.source: {source} cannot be read: {error.strerror}") from error
    return path


def _checkpoint(run: Path) -> Path:
    files = RunFolder(run)
    for path in (files.best, files.last):
        if path.is_file():
            log.info(f"Weights of the run {run}: {path.name}")
            return path
    raise LiverError(
        f"finetune.source={run}: the folder has neither {NAMES.best} nor {NAMES.last}, "
        f"so it is no run, or one that was stopped in its first epoch. Give {WANTED}"
    )


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load_file(path, device="cpu")
    except Exception as error:  # of a damaged file anything, as the reader's version has it
        reason = first_line(error).rstrip(".")[:200]
        raise LiverError(
            f"{path} ({path.stat().st_size} bytes) is damaged, or no safetensors file: {reason}. "
            "Copy it again, or take another finetune.source"
        ) from error


def _read_torch(path: Path) -> Any:
    if _is_zip(path) and (fault := fault_of_zip(path)):
        raise LiverError(_damaged(path, f" ({fault})"))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # advice to developers; what matters is an error
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of a damaged file whatever its bytes spell
        raise LiverError(_why_not(path, error)) from error


def _why_not(path: Path, error: Exception) -> str:
    asked = re.search(r"GLOBAL (\S+)", str(error))
    if asked or "TorchScript" in str(error):
        return (
            f"{path} was not read: it asks for {asked[1] if asked else 'TorchScript'}, but only tensors are read, so "
            "that no file can execute code. If you trust whom it is from, load it where it was made, and write the "
            "tensors alone: torch.save(network.state_dict(), 'weights.pt')"
        )
    return _damaged(path)


def _damaged(path: Path, fault: str = "") -> str:
    zipped = ", a zip archive" if _is_zip(path) else ""
    size = f"{path.stat().st_size} bytes{zipped}"
    return f"{path} ({size}) is damaged, or no checkpoint{fault}: copy it again, or give {WANTED}"


def _is_zip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"PK\3\4"


def _innermost(saved: Any) -> Any:
    for _ in range(_DEPTH):
        below = [saved[key] for key in _KEYS if isinstance(saved.get(key), Mapping)] if _is_mapping(saved) else []
        if not below:
            break
        saved = below[0]
    return saved


def _tensors(saved: Any) -> dict[str, Tensor]:
    """Return the tensors that can be copied: dense ones, with values."""
    named = saved.items() if _is_mapping(saved) else ()
    return {
        name: value.detach()
        for name, value in named
        if isinstance(name, str)
        and isinstance(value, Tensor)
        and value.layout == torch.strided
        and not (value.is_meta or value.is_quantized)
    }


def _bare(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Remove the prefix that the task gives its network, if there is one."""
    ours = {name.removeprefix(_OURS): value for name, value in weights.items() if name.startswith(_OURS)}
    return ours or dict(weights)


def _is_mapping(saved: Any) -> bool:
    return isinstance(saved, Mapping)


def _seen(saved: Any) -> str:
    if not _is_mapping(saved):
        return f"a {type(saved).__name__}"
    names = [str(name)[:40] for name in saved]
    return f"{', '.join(names[:5])}{', ...' if len(names) > 5 else ''}" if names else "nothing"
