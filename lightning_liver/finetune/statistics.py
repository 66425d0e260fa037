"""Batch-norm statistics of a domain: read, written, and estimated from slices without masks."""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lightning_liver.types.tensors import Images

Statistics = dict[str, Tensor]  # running_mean and running_var of each norm, by their names in the state_dict


def norms(network: nn.Module) -> dict[str, _BatchNorm]:
    """Return the batch norms with running statistics, by name."""
    return {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, _BatchNorm) and module.running_mean is not None
    }


def statistics_of(network: nn.Module) -> Statistics:
    """Return a copy of the running statistics of a network, on the processor; empty without batch norm."""
    return {name: tensor.detach().cpu().clone() for name, tensor in _buffers(network).items()}


def use_statistics(network: nn.Module, statistics: Mapping[str, Tensor]) -> None:
    """Write running statistics into a network, in place.

    Raises:
        KeyError: they are of a network with other batch norms.
    """
    for name, buffer in _buffers(network).items():
        buffer.copy_(statistics[name])


@torch.no_grad()
def estimate(network: nn.Module, batches: Iterable[Images]) -> Statistics:
    """Return the mean and the unbiased variance of each norm's input over all images; the network stays as it is.

    Each layer sees its input normalised by the statistics of its own batch, as in training; all else, such as dropout,
    is in evaluation mode. Moments of batches are merged exactly, so the variance also has what batches differ in.

    Args:
        batches: images (batch, channel, height, width) on the network's device, each of at least two.

    Source: AdaBN of Li et al. 2016, arXiv:1603.04779, section 3.2; moments merged as in Chan et al. 1983,
    doi:10.1080/00031305.1983.10483115.
    """
    found = norms(network)
    moments = {name: _Moments() for name in found}
    handles = [norm.register_forward_pre_hook(partial(_add, moments[name])) for name, norm in found.items()]
    modes = {module: module.training for module in network.modules()}
    tracked = {norm: norm.track_running_stats for norm in found.values()}
    network.eval()
    for norm in found.values():
        norm.train()
        norm.track_running_stats = False
    try:
        for images in batches:
            network(images)
    finally:
        for handle in handles:
            handle.remove()
        for norm, before in tracked.items():
            norm.track_running_stats = before
        for module, mode in modes.items():
            module.training = mode
    return {
        f"{name}.{end}": value
        for name, moment in moments.items()
        for end, value in (("running_mean", moment.mean.float()), ("running_var", moment.variance.float()))
    }


class _Moments:
    """Count, mean and sum of squared deviations of each channel."""

    def __init__(self) -> None:
        self.count, self.mean, self.deviations = 0, torch.zeros(()), torch.zeros(())

    def add(self, values: Tensor) -> None:
        """Add values (batch, channel, ...)."""
        rows = values.detach().float().transpose(0, 1).flatten(1).cpu().double()
        count, mean = rows.shape[1], rows.mean(dim=1)
        deviations = ((rows - mean[:, None]) ** 2).sum(dim=1)
        total, step = self.count + count, mean - self.mean
        self.deviations = self.deviations + deviations + step**2 * (self.count * count / total)
        self.mean = self.mean + step * (count / total)
        self.count = total

    @property
    def variance(self) -> Tensor:
        return self.deviations / max(self.count - 1, 1)


def _add(moments: _Moments, module: nn.Module, inputs: tuple[Any, ...]) -> None:
    moments.add(inputs[0])


def _buffers(network: nn.Module) -> dict[str, Tensor]:
    return {
        f"{name}.{end}": getattr(norm, end)
        for name, norm in norms(network).items()
        for end in ("running_mean", "running_var")
    }
