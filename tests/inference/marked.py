"""A network with known labels: pixels brighter than a value."""

import torch
from torch import Tensor, nn


class Brighter(nn.Module):
    """Liver where the middle channel is above `liver`, tumour where it is above `tumour`; a logit of 0 at the value."""

    def __init__(self, *, liver: float, tumour: float, dropout: float = 0.0) -> None:
        super().__init__()
        self.register_buffer("values", torch.tensor([liver, tumour]).reshape(1, 2, 1, 1))
        self.dropout = nn.Dropout(dropout)

    def forward(self, images: Tensor) -> Tensor:
        middle = images[:, images.shape[1] // 2, None]
        return self.dropout(10 * (middle - self.values))
