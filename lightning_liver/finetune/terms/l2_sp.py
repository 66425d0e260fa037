"""Keep the weights near those of the source."""

from typing import Any

import torch
from pydantic import validate_call
from torch import nn

from lightning_liver.finetune.terms.base import Start, Term
from lightning_liver.types.options import Checked, NonNegative
from lightning_liver.types.tensors import Batch, Scalar


class WeightConservation(Term):
    """Distance of the weights from their start: (alpha sum |w - w0|^2 + beta sum |v|^2) / 2.

    w are the weights that came from the source, wholly or in part, with their start w0; v are those that did not. Batch
    norm's scale and shift count as weights, its running statistics do not. It takes the place of weight decay, which is
    off for the whole network: decay towards 0 would pull copied weights away from the source, and beta is that of new
    ones. As a term of the loss it passes through Adam's scaling of gradients; the authors use SGD.

    Source: L2-SP of Li et al. 2018, arXiv:1802.01483, equation 4.
    """

    replaces_weight_decay = True

    @validate_call(config=Checked)
    def __init__(self, *, alpha: NonNegative, beta: NonNegative, start: Start) -> None:
        super().__init__()
        self.alpha, self.beta = alpha, beta
        source = {name: weight for name, weight in start.network.named_parameters() if name in start.copied}
        self.names = list(source)
        self.start = nn.ParameterList([weight.detach().clone() for weight in source.values()]).requires_grad_(False)

    def forward(self, task: Any, batch: Batch, logits: Any) -> Scalar:
        now = dict(task.network.named_parameters())
        moved = sum(((now[name] - start) ** 2).sum() for name, start in zip(self.names, self.start, strict=True))
        new = sum((parameter**2).sum() for name, parameter in now.items() if name not in self.names)
        return (self.alpha * torch.as_tensor(moved) + self.beta * torch.as_tensor(new)).float() / 2
