"""Features from which the domain of a slice cannot be told."""

import math
from typing import Any

import torch
from pydantic import validate_call
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from lightning_liver.finetune.features import Features, channels_of, on_companion
from lightning_liver.finetune.terms.base import Start, Term, progress_of
from lightning_liver.types.options import Checked, Count, NonNegative
from lightning_liver.types.tensors import Batch, Scalar


class DomainAdversarial(Term):
    """Cross-entropy of a discriminator between labelled slices and those of the unlabelled target, times `weight`.

    The discriminator, two layers on pooled features of one part, learns to tell them apart; the gradient that reaches
    the network is reversed, at a strength that grows with training. The mean is over both domains.

    Args:
        part: whose features the discriminator gets.
        hidden: its width.

    Source: Ganin et al. 2016, arXiv:1505.07818.
    """

    needs_target = True

    @validate_call(config=Checked)
    def __init__(self, *, weight: NonNegative, part: str, hidden: Count, start: Start) -> None:
        super().__init__()
        self.weight, self.features = weight, Features(start.network, part)
        width = channels_of(start.network, part, start.example)
        self.discriminator = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, 1))

    def forward(self, task: Any, batch: Batch, logits: Any) -> Scalar:
        ours = self.features().mean(dim=(-2, -1))
        on_companion(task, batch, features=self.features)
        theirs = self.features().mean(dim=(-2, -1))
        strength = reversal_strength(progress_of(task))
        answer = self.discriminator(reverse_gradient(torch.cat([ours, theirs]), strength))[:, 0].float()
        domain = torch.cat([torch.zeros(len(ours)), torch.ones(len(theirs))]).to(answer)
        return self.weight * binary_cross_entropy_with_logits(answer, domain)


class _Reversal(torch.autograd.Function):
    """The identity, whose gradient is negated and scaled."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, strength: float) -> Tensor:
        ctx.strength = strength
        return features.view_as(features)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return -ctx.strength * gradients[0], None


def reverse_gradient(features: Tensor, strength: float) -> Tensor:
    """Return the features, with -strength times the incoming gradient. Source: Ganin et al. 2016, arXiv:1505.07818."""
    reversed_: Tensor = _Reversal.apply(features, strength)  # type: ignore[no-untyped-call]
    return reversed_


def reversal_strength(progress: float) -> float:
    """Return 2 / (1 + exp(-10 progress)) - 1, from 0 to almost 1. Source: Ganin et al. 2016, section 5.2.2."""
    return 2 / (1 + math.exp(-10 * progress)) - 1
