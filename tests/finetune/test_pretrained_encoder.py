"""Encoders of timm and segmentation-models-pytorch: their names, on a stand-in where the packages do not import."""

from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from lightning_liver.build import build
from lightning_liver.config import compose
from lightning_liver.finetune.source import read_weights
from lightning_liver.finetune.transfer import plan
from tests.optional import needs


def resnet18_names(width: int = 8) -> dict[str, Tensor]:
    """What timm calls the tensors of a resnet18, with `width` channels instead of 64."""

    def norm(name: str, channels: int) -> dict[str, Tensor]:
        learnt = {f"{name}.{each}": torch.rand(channels) for each in ("weight", "bias", "running_mean", "running_var")}
        return {**learnt, f"{name}.num_batches_tracked": torch.tensor(7)}

    weights = {"conv1.weight": torch.randn(width, 3, 7, 7), **norm("bn1", width)}
    inputs = width
    for level, outputs in enumerate((width, 2 * width, 4 * width, 8 * width), start=1):
        for number in (0, 1):
            block = f"layer{level}.{number}"
            weights[f"{block}.conv1.weight"] = torch.randn(outputs, inputs, 3, 3)
            weights |= norm(f"{block}.bn1", outputs)
            weights[f"{block}.conv2.weight"] = torch.randn(outputs, outputs, 3, 3)
            weights |= norm(f"{block}.bn2", outputs)
            if inputs != outputs:
                weights[f"{block}.downsample.0.weight"] = torch.randn(outputs, inputs, 1, 1)
                weights |= norm(f"{block}.downsample.1", outputs)
            inputs = outputs
    return {**weights, "fc.weight": torch.randn(1000, inputs), "fc.bias": torch.randn(1000)}


class Block(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, outputs, 3, bias=False), nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = nn.Conv2d(outputs, outputs, 3, bias=False), nn.BatchNorm2d(outputs)
        if inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))


class Encoder(nn.Module):
    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels, width, 7, bias=False), nn.BatchNorm2d(width)
        inputs = width
        for level, outputs in enumerate((width, 2 * width, 4 * width, 8 * width), start=1):
            setattr(self, f"layer{level}", nn.Sequential(Block(inputs, outputs), Block(outputs, outputs)))
            inputs = outputs


class OfTimm(nn.Module):
    """As segmentation-models-pytorch holds timm's own: tu-resnet18."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.model = Encoder(channels, width)


class StandIn(nn.Module):
    """The names of smp.Unet, without its forward pass."""

    def __init__(self, encoder: nn.Module, width: int = 8) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = nn.Conv2d(8 * width, width, 3)
        self.segmentation_head = nn.Sequential(nn.Conv2d(width, 2, 3))


@pytest.mark.parametrize(("kind", "at"), [(Encoder, "encoder."), (OfTimm, "encoder.model.")])
@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin", "whole.pth"])
def test_imagenet_weights_by_timms_names_fill_an_encoder_of_one_channel(
    kind: type[nn.Module], at: str, name: str, tmp_path: Path
) -> None:
    weights, path = resnet18_names(), tmp_path / name
    if path.suffix == ".safetensors":
        safetensors.torch.save_file(weights, path)
    else:
        torch.save(weights if path.suffix == ".bin" else {"state_dict": weights, "arch": "resnet18"}, path)
    network = StandIn(kind(1, 8))
    transfer = plan(network, read_weights(path), parts=None)
    transfer.apply(network)
    after = network.state_dict()
    for key, tensor in weights.items():
        if not key.startswith(("fc.", "conv1.")):
            assert torch.equal(after[at + key], tensor)
    torch.testing.assert_close(after[f"{at}conv1.weight"], weights["conv1.weight"].sum(1, keepdim=True))
    assert set(transfer.unused) == {"fc.weight", "fc.bias"}
    assert {one.name for one in transfer.matches if one.kind == "new"} == {
        *(f"decoder.{each}" for each in ("weight", "bias")),
        *(f"segmentation_head.0.{each}" for each in ("weight", "bias")),
    }
    assert f"with {at}" in transfer.table()
    assert "8x3x7x7" in transfer.table()


def test_segmentation_models_pytorch_takes_them_too() -> None:
    needs("segmentation_models_pytorch")
    network = build(compose("train", ["model=smp_unet"]).model)
    transfer = plan(network, resnet18_names(width=64), parts=None)
    transfer.apply(network)
    assert {one.part for one in transfer.matches if one.kind == "new"} == {"decoder", "segmentation_head"}
    assert set(transfer.unused) == {"fc.weight", "fc.bias"}
