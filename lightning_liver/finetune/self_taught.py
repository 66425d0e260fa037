"""Self-taught features from slices without masks: reconstruct masked patches."""

from typing import Any

import pytorch_lightning as pl
import torch
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from lightning_liver.finetune.features import Features, channels_of
from lightning_liver.types.options import Closed, Count, Positive, Probability
from lightning_liver.types.tensors import Images, Scalar


@dataclass(frozen=True, config=Closed)
class Pretraining:
    """Options of masked reconstruction.

    Args:
        epochs: of data.slices_per_epoch slices.
        mask_share: probability of a patch to be covered.
        patch_pixels: side of a patch.
        lr: learning rate of AdamW.
        part: whose features the image is drawn from; it has to be at full resolution.
    """

    epochs: Count
    mask_share: Probability
    patch_pixels: Count
    lr: Positive
    part: str


class MaskedReconstruction(pl.LightningModule):
    """Mean squared error of the covered pixels, drawn by a 1x1 convolution of a part's features.

    Covered patches are 0, the mean of standardised images. Labels are not looked at.
    """

    def __init__(self, network: nn.Module, options: Pretraining, example: Tensor) -> None:
        super().__init__()
        self.network, self.options = network, options
        self.features = Features(network, options.part)
        self.head = nn.Conv2d(channels_of(network, options.part, example), example.shape[1], kernel_size=1)

    def sees(self, images: Images) -> Tensor:
        """Return the features that the image is drawn from."""
        self.network(images)
        return self.features()

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Scalar:
        images = batch["image"]
        covered = patches(images, share=self.options.mask_share, side=self.options.patch_pixels)
        wrong = (self.head(self.sees(images * ~covered)).float() - images.float()) ** 2
        loss = (wrong * covered).sum() / (covered.sum() * images.shape[1]).clamp(min=1)
        self.log("pretrain/loss", loss, prog_bar=True)
        return loss

    def configure_optimizers(self) -> Any:
        return torch.optim.AdamW(self.parameters(), lr=self.options.lr)


def patches(images: Images, *, share: float, side: int) -> Tensor:
    """Cover squares of images at random, each with probability `share`; (batch, 1, height, width), True if covered."""
    height, width = images.shape[-2:]
    coarse = torch.rand(len(images), 1, -(-height // side), -(-width // side), device=images.device) < share
    return coarse.repeat_interleave(side, -2).repeat_interleave(side, -1)[..., :height, :width]
