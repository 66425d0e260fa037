"""Small networks and their weights."""

from functools import partial

import torch
from torch import Tensor, nn

from lightning_liver.models.unet import UNet
from lightning_liver.training.task import SegmentationTask

TINY = {"in_channels": 1, "classes": 2, "base_channels": 4, "depth": 2, "norm": "batch", "dropout": 0.0}


def unet(seed: int = 0, **options: int | str) -> UNet:
    """Every tensor has values of its own, also the running statistics."""
    torch.manual_seed(seed)
    network = UNet(**{**TINY, **options})
    for tensor in network.state_dict().values():
        if tensor.is_floating_point():
            tensor.add_(torch.rand_like(tensor))
        else:
            tensor.add_(seed + 1)
    return network


def bits(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def same(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def task(network: nn.Module) -> SegmentationTask:
    return SegmentationTask(
        network,
        nn.functional.binary_cross_entropy_with_logits,
        terms={},
        optimizer=partial(torch.optim.AdamW, lr=1e-3),
        scheduler=lambda optimizer, _steps: torch.optim.lr_scheduler.ConstantLR(optimizer),
        multiple=4,
    )
