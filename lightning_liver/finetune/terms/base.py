"""Parts that terms share."""

import math
from copy import deepcopy
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from lightning_liver.finetune.statistics import Statistics
from lightning_liver.types.tensors import Images, Masks


class Start(NamedTuple):
    """Network and image size at the start of fine-tuning.

    Args:
        network: with the weights of the source.
        copied: names of its parameters that came from the source, wholly or in part.
        example: (1, channel, height, width), an empty image of the training's size.
        target: batch-norm statistics of the network on slices of the target, for a teacher on them; None without one.
    """

    network: nn.Module
    copied: frozenset[str]
    example: Tensor
    target: Statistics | None = None


class Term(nn.Module):
    """Base of terms with what they need or replace; each attribute is set by the term that does."""

    needs_target = False
    needs_teacher = False
    needs_source_data = False
    needs_full_resolution = False
    replaces_weight_decay = False


class Frozen(nn.Module):
    """A copy of a network that never trains, whatever is done to the module that contains it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = deepcopy(network).requires_grad_(False).eval()

    def train(self, mode: bool = True) -> "Frozen":
        return self

    @torch.no_grad()
    def forward(self, images: Images) -> Any:
        return self.network(images)


def finest(logits: Any) -> Masks:
    """Return the logits at full resolution of a network that gives several."""
    last: Tensor = logits if isinstance(logits, Tensor) else logits[-1]
    return last


def progress_of(task: Any) -> float:
    """Return the fraction of training that is over, 0 to 1."""
    steps = task.planned_steps() or task.trainer.estimated_stepping_batches
    return min(task.global_step / steps, 1.0) if math.isfinite(steps) and steps > 0 else 0.0
