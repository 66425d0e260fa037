"""Second heads: a task that is learnt beside the masks, from the features of one part of the network."""

from typing import Any

from pydantic import validate_call
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss

from lightning_liver.finetune.features import Features, channels_of
from lightning_liver.finetune.terms.base import Start, Term
from lightning_liver.types.options import Checked, NonNegative
from lightning_liver.types.tensors import Batch, Scalar


class TumourPresence(Term):
    """Binary cross-entropy of a linear layer on pooled features: does the slice show a tumour?

    Args:
        part: whose features the head gets.
    """

    @validate_call(config=Checked)
    def __init__(self, *, weight: NonNegative, part: str, start: Start) -> None:
        super().__init__()
        self.weight, self.features = weight, Features(start.network, part)
        self.head = nn.Linear(channels_of(start.network, part, start.example), 1)

    def forward(self, task: Any, batch: Batch, logits: Any) -> Scalar:
        answer = self.head(self.features().mean(dim=(-2, -1)))[:, 0]
        present = _shows_tumour(batch["labels"])
        if "partner_labels" in batch:  # the batch is blended, and so is the answer
            share = batch["share"][0]
            present = share * present + (1 - share) * _shows_tumour(batch["partner_labels"])
        return self.weight * binary_cross_entropy_with_logits(answer.float(), present)


class Reconstruction(Term):
    """Mean squared error of the image, drawn by a 1x1 convolution of features at full resolution.

    Args:
        part: whose features the head gets; it has to be at full resolution.
    """

    needs_full_resolution = True

    @validate_call(config=Checked)
    def __init__(self, *, weight: NonNegative, part: str, start: Start) -> None:
        super().__init__()
        self.weight, self.features = weight, Features(start.network, part)
        self.head = nn.Conv2d(channels_of(start.network, part, start.example), start.example.shape[1], kernel_size=1)

    def forward(self, task: Any, batch: Batch, logits: Any) -> Scalar:
        return self.weight * mse_loss(self.head(self.features()).float(), batch["image"].float())


def _shows_tumour(labels: Tensor) -> Tensor:
    return (labels == 2).flatten(1).any(dim=1).float()
