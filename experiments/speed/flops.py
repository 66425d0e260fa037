"""FLOPs of a network. Imported in other environments, too: PyTorch only."""

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def gigaflops(network: nn.Module, size: int) -> float:
    """Return the GFLOP of a forward pass of one slice of size x size pixels."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.eval()(torch.zeros(1, 1, size, size))
    return float(counter.get_total_flops()) / 1e9
