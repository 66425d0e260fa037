"""The U-Net of Ronneberger, Fischer and Brox 2015, arXiv:1505.04597."""

import math
from collections.abc import Callable
from typing import Annotated, Literal

import torch
from pydantic import ConfigDict, Field, validate_call
from torch import Tensor, nn

from lightning_liver.errors import LiverError
from lightning_liver.types.options import BelowOne, Count
from lightning_liver.types.tensors import Images, Masks

Norm = Literal["none", "batch", "instance"]
NORMS: dict[Norm, Callable[[int], nn.Module] | None] = {
    "none": None,
    "batch": nn.BatchNorm2d,
    "instance": lambda channels: nn.InstanceNorm2d(channels, affine=True),
}

Depth = Annotated[int, Field(ge=1, le=8)]  # beyond it, a slice of 512x512 would be a single pixel at the bottom


class UNet(nn.Module):
    """U-Net of figure 1, padded so that the logits are as large as the image.

    `encoder[0]` works at full resolution and `encoder[depth]` at the bottom; `decoder[0]` is the deepest step up and
    `decoder[depth - 1]` is back at full resolution; `head` is the 1x1 convolution.

    Args:
        in_channels: channels of the image, 2 * context + 1.
        classes: channels of the logits.
        base_channels: channels at full resolution, doubled by every level; 64 in the paper.
        depth: times that the resolution is halved; 4 in the paper. Height and width must divide by 2**depth.
        norm: "none" (the paper), "batch" or "instance", after every 3x3 convolution.
        dropout: probability, after the last two encoder stages: the paper has it "at the end of the contracting path",
            its released Caffe model at 0.5 after both of them, so that the lowest skip connection has it, too.

    Raises:
        pydantic.ValidationError: an option is of the wrong type or out of range.
        LiverError: an image does not divide by 2**depth.
    """

    @validate_call(config=ConfigDict(strict=True))
    def __init__(
        self, *, in_channels: Count, classes: Count, base_channels: Count, depth: Depth, norm: Norm, dropout: BelowOne
    ) -> None:
        super().__init__()
        widths = [base_channels * 2**level for level in range(depth + 1)]
        dropouts = [0.0] * (depth - 1) + [dropout, dropout]
        self.multiple = 2**depth
        self.encoder = nn.ModuleList(
            _encoder_stage(inputs, outputs, norm, probability, pool=level > 0)
            for level, (inputs, outputs, probability) in enumerate(
                zip([in_channels, *widths[:-1]], widths, dropouts, strict=True)
            )
        )
        self.decoder = nn.ModuleList(_DecoderStage(width, norm) for width in reversed(widths[:-1]))
        self.head = nn.Conv2d(base_channels, classes, kernel_size=1)
        self.apply(_initialise)

    def forward(self, images: Images) -> Masks:
        """Return logits (batch, classes, height, width) of images (batch, in_channels, height, width)."""
        _check_size(images, self.multiple)
        features: Tensor = images
        skips: list[Tensor] = []
        for stage in self.encoder:
            features = stage(features)
            skips.append(features)
        skips.pop()
        for stage in self.decoder:
            features = stage(features, skips.pop())
        logits: Tensor = self.head(features)
        return logits


class _DecoderStage(nn.Module):
    """2x2 up-convolution that halves the channels, concatenation with the skip, two 3x3 convolutions.

    No ReLU after the up-convolution: figure 1 has none (the released Caffe model has one).
    """

    def __init__(self, width: int, norm: Norm) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(2 * width, width, kernel_size=2, stride=2)
        self.fuse = nn.Sequential()
        _add_convolutions(self.fuse, 2 * width, width, norm)

    def forward(self, features: Tensor, skip: Tensor) -> Tensor:
        fused: Tensor = self.fuse(torch.cat((skip, self.up(features)), dim=1))
        return fused


def _encoder_stage(inputs: int, outputs: int, norm: Norm, dropout: float, *, pool: bool) -> nn.Sequential:
    stage = nn.Sequential()
    if pool:
        stage.add_module("pool", nn.MaxPool2d(2))
    _add_convolutions(stage, inputs, outputs, norm)
    if dropout > 0:
        stage.add_module("dropout", nn.Dropout(dropout))
    return stage


def _add_convolutions(stage: nn.Sequential, inputs: int, outputs: int, norm: Norm) -> None:
    """Append two 3x3 convolutions, each with its norm and ReLU; a norm has its own shift, so no bias before it."""
    make_norm = NORMS[norm]
    for number, channels in ((1, inputs), (2, outputs)):
        stage.add_module(f"conv{number}", nn.Conv2d(channels, outputs, 3, padding=1, bias=make_norm is None))
        if make_norm is not None:
            stage.add_module(f"norm{number}", make_norm(outputs))
        stage.add_module(f"relu{number}", nn.ReLU(inplace=True))


def _initialise(module: nn.Module) -> None:
    """Draw weights from N(0, 2/N), N the incoming nodes of one neuron (paper, section 3; He et al. 2015), biases 0.

    Each output pixel of a 2x2 up-convolution with stride 2 sees one input pixel, so N is its number of input channels;
    torch.nn.init.kaiming_normal_ would take four times the output channels.
    """
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        up = isinstance(module, nn.ConvTranspose2d)
        incoming = module.in_channels * (1 if up else math.prod(module.kernel_size))
        nn.init.normal_(module.weight, std=math.sqrt(2 / incoming))
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _check_size(images: Tensor, multiple: int) -> None:
    height, width = images.shape[-2:]
    if height % multiple or width % multiple or not height or not width:
        raise LiverError(
            f"an image of {height}x{width} pixels: expected multiples of {multiple} (2 to the power of model.depth); "
            "pad it, or change data.size or model.depth"
        )
