"""Least time of a training step on this machine: sum over layers of max(FLOPs / matrix rate, bytes / bandwidth).

Each layer reads and writes each of its tensors once, in the precision of the step. Data cached from one layer to the
next are not counted, so a step that fuses layers can be quicker than this.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lightning_liver.training.stopwatch import now

COPIED_BYTES = 2**28
MATRIX = {"cpu": 2048, "cuda": 8192}
REPEATS = 9
INPUT = "to input"


@dataclass(frozen=True)
class Layer:
    """Pass through a layer: forward, or backward to its input or to its weights."""

    name: str
    flops: float
    moved: float  # bytes

    def seconds(self, flops_a_second: float, bytes_a_second: float) -> float:
        return max(self.flops / flops_a_second, self.moved / bytes_a_second)


def layers(network: nn.Module, images: Tensor, *, element: int) -> list[Layer]:
    """Return the passes of every layer for these images.

    Args:
        element: bytes of a number in the step's precision.
    """
    passes: list[Layer] = []
    names = {module: name for name, module in network.named_modules()}

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        first = inputs[0] is images  # the images need no gradient
        made = _passes(names[module], module, inputs[0], output, element)
        passes.extend(layer for layer in made if not (first and layer.name.endswith(INPUT)))

    leaves = [module for module in network.modules() if not list(module.children())]
    hooks = [module.register_forward_hook(count) for module in leaves]
    with torch.no_grad():
        network(images)
    for hook in hooks:
        hook.remove()
    return passes


def _passes(name: str, module: nn.Module, given: Tensor, made: Tensor, element: int) -> Iterator[Layer]:
    into, out = given.numel() * element, made.numel() * element
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        weights = module.weight.numel() * element
        pixels = made.shape[-2:].numel() if isinstance(module, nn.Conv2d) else given.shape[-2:].numel()
        flops = 2.0 * len(given) * pixels * module.weight.numel()
        for way in ("forward", INPUT, "to weights"):
            yield Layer(f"{name} {way}", flops, into + weights + out)
    elif isinstance(module, nn.modules.batchnorm._BatchNorm | nn.InstanceNorm2d):
        yield Layer(f"{name} forward", 0, 2 * into + out)  # once for mean and variance
        yield Layer(f"{name} backward", 0, 2 * (into + out) + into)
    else:
        yield Layer(f"{name} forward", 0, into + out)
        yield Layer(f"{name} backward", 0, into + 2 * out)


def flops_a_second(device: torch.device, kind: torch.dtype) -> float:
    """Return the best rate of a large matrix product."""
    size = MATRIX[device.type]
    a, b = (torch.randn(size, size, device=device).to(kind) for _ in range(2))
    return 2.0 * size**3 / _best_s(lambda: a @ b, device)


def bytes_a_second(device: torch.device) -> float:
    """Return the best rate of a large copy, counting bytes read and bytes written."""
    source = torch.randint(255, (COPIED_BYTES,), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2.0 * COPIED_BYTES / _best_s(lambda: target.copy_(source), device)


def _best_s(work: Callable[[], Any], device: torch.device) -> float:
    taken = []
    for _ in range(REPEATS):
        began = now(device)
        work()
        taken.append(now(device) - began)
    return sorted(taken)[1]  # the second best: the best may be an outlier
