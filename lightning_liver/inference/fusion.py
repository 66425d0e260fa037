"""Fusion of batch norms into the convolutions before them, which makes a trained network faster."""

from itertools import pairwise

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fuse(network: nn.Module) -> nn.Module:
    """Fuse a network in evaluation mode in place and return it: the same function but for rounding.

    Only inside nn.Sequential is the norm certain to be the sole consumer of the preceding convolution.
    """
    for part in network.modules():
        if isinstance(part, nn.Sequential) and type(part).forward is nn.Sequential.forward:
            _fuse_row(part)
    return network


def _fuse_row(row: nn.Sequential) -> None:
    for (name, convolution), (next_name, norm) in pairwise(list(row.named_children())):
        if not (isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)):
            continue
        if norm.running_mean is not None and not norm.training:
            setattr(row, name, fuse_conv_bn_eval(convolution, norm))
            setattr(row, next_name, nn.Identity())
