"""Checks of a network, loss, optimizer and scheduler before cases are prepared."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from pytorch_lightning.callbacks import (
    Callback,
    GradientAccumulationScheduler,
    ProgressBar,
    StochasticWeightAveraging,
)
from torch import nn
from torch.optim import Optimizer

from lightning_liver.errors import LiverError
from lightning_liver.inference.label_maps import whole_slice_logits
from lightning_liver.training.settings import TrainerOptions
from lightning_liver.types import STRUCTURES
from lightning_liver.types.tensors import Masks, Scalar


def check_network_and_loss(
    network: nn.Module, loss: Callable[[Masks, Masks], Scalar], channels: int, size: tuple[int, int], multiple: int
) -> None:
    """Apply both to an empty image of the training's size, and the network to one as small as evaluation may have.

    Raises:
        LiverError: the network does not take the images or gives another shape than the target's; an option of the
            loss is wrong or missing.
    """
    shape = (1, len(STRUCTURES), *size)
    logits = _logits(network, torch.zeros(1, channels, *size))
    if tuple(logits.shape) != shape:
        raise LiverError(
            f"the model gives {tuple(logits.shape)} for a target of {shape}: it must give a logit a structure"
        )
    smallest = torch.zeros(1, channels, 2 * multiple - 1, 2 * multiple - 1)
    _logits(lambda images: whole_slice_logits(network, images, multiple=multiple), smallest)
    try:
        value = loss(logits, torch.zeros(shape))
    except TypeError as error:
        raise LiverError(f"loss: {error}") from error
    if value.ndim or not torch.isfinite(value):
        raise LiverError(f"loss: {value} for an empty image; a finite scalar is needed")
    if isinstance(network, nn.Module):
        network.train()


def check_callbacks(callbacks: Sequence[object], options: TrainerOptions) -> None:
    """Refuse callbacks that cannot work here.

    Raises:
        LiverError: an entry is no callback, its averages would be lost, or it changes what a step is.
    """
    for each in callbacks:
        if not isinstance(each, Callback):
            raise LiverError(f"callbacks: expected objects of pytorch_lightning.Callback, not {each!r}")
        if isinstance(each, StochasticWeightAveraging):
            raise LiverError(
                "callbacks: the averages of StochasticWeightAveraging would be in no checkpoint, and the test uses the "
                "best one; use callbacks=swa"
            )
        if isinstance(each, GradientAccumulationScheduler) and options.budget != "max_epochs":
            raise LiverError(
                f"callbacks: GradientAccumulationScheduler changes the number of steps of an epoch, which "
                f"trainer.{options.budget} counts; use trainer.accumulate_grad_batches, or trainer.max_epochs"
            )
    if not options.enable_progress_bar and any(isinstance(each, ProgressBar) for each in callbacks):
        raise LiverError("trainer.enable_progress_bar=false: expected callbacks without a progress bar; remove one")


def check_optimizer_and_scheduler(
    optimizer: Callable[[Iterable[nn.Parameter]], Optimizer], scheduler: Callable[[Optimizer, Callable[[], float]], Any]
) -> None:
    """Build both for one parameter.

    Raises:
        LiverError: the optimizer refuses an option.
        pydantic.ValidationError: the scheduler does.
    """
    try:
        made = optimizer([nn.Parameter(torch.zeros(1))])
    except (TypeError, ValueError) as error:
        raise LiverError(f"optimizer: {error}") from error
    scheduler(made, lambda: 1.0)


@torch.no_grad()
def _logits(network: Callable[[torch.Tensor], Any], images: torch.Tensor) -> Any:
    if isinstance(network, nn.Module):
        network.eval()
    try:
        return network(images)
    except RuntimeError as error:
        raise LiverError(f"the model does not take images of shape {tuple(images.shape)[1:]}: {error}") from error
