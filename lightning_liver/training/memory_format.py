"""Memory format in which a network trains faster on this processor: timed once, and remembered for the machine."""

import hashlib
import json
import statistics
import time
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path

import torch
from torch import Tensor, nn

from lightning_liver.errors import LiverError
from lightning_liver.files import held_lock, write_whole
from lightning_liver.inference.predict_volume import autocast_of
from lightning_liver.machine import processor, user_cache
from lightning_liver.readers import read_json
from lightning_liver.training.settings import TrainerOptions
from lightning_liver.training.stopwatch import seconds_of

_LAYOUTS = (torch.contiguous_format, torch.channels_last)
_ROUNDS = 6  # through both formats; the first one warms up
_ENOUGH_S = 4.0  # after which no further round begins
_GAIN = 0.95  # ratio of times below which so few rounds can tell a gain from noise


def choose_memory_format(network: nn.Module, options: TrainerOptions, shape: tuple[int, ...]) -> bool:
    """Lay out a network's weights as the options say, or in the faster format; activations follow.

    Args:
        options: without any auto.
        shape: of a batch of images.

    Returns:
        True if the weights are in channels-last format now.
    """
    chosen = options.channels_last
    if chosen is None:
        chosen = options.accelerator == "cpu" and channels_last_is_quicker(network, options, shape)
    if chosen:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return chosen


def channels_last_is_quicker(network: nn.Module, options: TrainerOptions, shape: tuple[int, ...]) -> bool:
    """Return True if a step is faster in it; the user's cache keeps the times by machine, network and batch."""
    what = hashlib.sha256(f"{network} {shape}".encode()).hexdigest()[:12]
    threads = options.threads or torch.get_num_threads()
    name = f"{processor()}, {threads} threads, torch {torch.__version__}, {options.precision}, network and batch {what}"
    path = user_cache() / "layout.json"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with held_lock(path.with_suffix(".lock")):
            known = _read(path)
            if name not in known:
                ratio = _ratio(network, options.precision, threads, shape)
                write_whole(path, json.dumps({**known, name: ratio}, indent=1) + "\n")
            return _read(path)[name] < _GAIN
    except OSError:  # a home that cannot be written to
        return _ratio(network, options.precision, threads, shape) < _GAIN


def _read(path: Path) -> Mapping[str, float]:
    try:
        return {name: float(ratio) for name, ratio in read_json(path).items()}
    except (LiverError, ValueError, TypeError):  # missing or damaged: measured anew
        return {}


def _ratio(network: nn.Module, precision: str, threads: int, shape: tuple[int, ...]) -> float:
    """Return the time with channels last over the time without, the median over rounds."""
    before, times = torch.get_num_threads(), list[list[float]]()
    torch.set_num_threads(threads)
    try:
        with torch.random.fork_rng(devices=[]):
            copies = [deepcopy(network).train().to(memory_format=layout) for layout in _LAYOUTS]  # type: ignore[call-overload]
            images, began = torch.rand(shape), time.perf_counter()
            while len(times) < 2 or (len(times) < _ROUNDS and time.perf_counter() < began + _ENOUGH_S):
                times.append([_seconds(copy, images, precision) for copy in copies])
    finally:
        torch.set_num_threads(before)
    return round(statistics.median(last / plain for plain, last in times[1:]), 3)


def _seconds(network: nn.Module, images: Tensor, precision: str) -> float:
    """Return the seconds of a forward and a backward pass."""

    def step() -> None:
        with autocast_of("cpu", precision):
            logits = network(images)
        total = sum(level.float().sum() for level in ([logits] if isinstance(logits, Tensor) else logits))
        if isinstance(total, Tensor) and total.requires_grad:
            total.backward()  # type: ignore[no-untyped-call]

    return seconds_of(step, torch.device("cpu"))
