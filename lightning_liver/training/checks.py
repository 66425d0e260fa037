"""What can be found wrong before cases are prepared and steps are taken."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from lightning_liver.errors import LiverError
from lightning_liver.types import STRUCTURES, Masks, Scalar


def check_network_and_loss(
    network: nn.Module, loss: Callable[[Masks, Masks], Scalar], channels: int, size: tuple[int, int]
) -> None:
    """Run one empty image through both.

    Raises:
        LiverError: the network does not take the image or gives another shape than the target's; an option of the loss
            is wrong or missing.
    """
    shape = (1, len(STRUCTURES), *size)
    logits = _logits(network, torch.zeros(2, channels, *size))[:1]
    if tuple(logits.shape) != shape:
        raise LiverError(
            f"the model gives {tuple(logits.shape)} for a target of {shape}: it must give a logit a structure"
        )
    try:
        value = loss(logits, torch.zeros(shape))
    except TypeError as error:
        raise LiverError(f"loss: {error}") from error
    if value.ndim or not torch.isfinite(value):
        raise LiverError(f"loss: {value} for an empty image; a finite scalar is needed")


@torch.no_grad()
def _logits(network: nn.Module, images: torch.Tensor) -> Any:
    was_training = network.training
    try:
        return network.eval()(images)
    except RuntimeError as error:
        raise LiverError(f"the model does not take images of shape {tuple(images.shape)[1:]}: {error}") from error
    finally:
        network.train(was_training)
