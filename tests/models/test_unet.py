from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from lightning_liver.build import build
from lightning_liver.errors import LiverError
from lightning_liver.models.unet import UNet
from tests.optional import needs

CONF = Path(__file__).parents[2] / "conf" / "model"
YAMLS = sorted(CONF.glob("*.yaml"), key=lambda path: path.stem)
PAPER = {"in_channels": 1, "classes": 2, "base_channels": 64, "depth": 4, "norm": "none", "dropout": 0.5}
TINY = {"in_channels": 1, "classes": 2, "base_channels": 4, "depth": 2, "norm": "none", "dropout": 0.0}

# Figure 1 of arXiv:1505.04597, arrow by arrow: kernel * kernel * inputs * outputs + biases.
FIGURE_1 = (
    (9 * 1 * 64 + 64, 9 * 64 * 64 + 64),
    (9 * 64 * 128 + 128, 9 * 128 * 128 + 128),
    (9 * 128 * 256 + 256, 9 * 256 * 256 + 256),
    (9 * 256 * 512 + 512, 9 * 512 * 512 + 512),
    (9 * 512 * 1024 + 1024, 9 * 1024 * 1024 + 1024),
    (4 * 1024 * 512 + 512, 9 * 1024 * 512 + 512, 9 * 512 * 512 + 512),
    (4 * 512 * 256 + 256, 9 * 512 * 256 + 256, 9 * 256 * 256 + 256),
    (4 * 256 * 128 + 128, 9 * 256 * 128 + 128, 9 * 128 * 128 + 128),
    (4 * 128 * 64 + 64, 9 * 128 * 64 + 64, 9 * 64 * 64 + 64),
    (1 * 64 * 2 + 2,),
)


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def paper_network() -> UNet:
    with torch.device("meta"):  # shapes without memory
        return UNet(**PAPER)


def from_yaml(path: Path, **options: Any) -> nn.Module:
    """Build a network as a config with these options does."""
    return build(OmegaConf.create({"model": OmegaConf.merge(OmegaConf.load(path), options)}).model)


def test_parameters_are_those_of_figure_1_stage_by_stage() -> None:
    network = paper_network()
    stages = [*network.encoder, *network.decoder, network.head]
    assert [parameters(stage) for stage in stages] == [sum(arrows) for arrows in FIGURE_1]
    assert parameters(network) == sum(map(sum, FIGURE_1)) == 31_030_658


def test_unet_yaml_is_the_paper() -> None:
    with torch.device("meta"):
        assert parameters(from_yaml(CONF / "unet.yaml", in_channels=1)) == 31_030_658


def test_feature_maps_have_the_widths_and_resolutions_of_figure_1() -> None:
    network, seen = paper_network(), []
    for stage in [*network.encoder, *network.decoder]:
        stage.register_forward_hook(lambda _module, _inputs, output: seen.append(tuple(output.shape[1:])))
    network(torch.zeros(1, 1, 64, 96, device="meta"))
    down = [(64, 64, 96), (128, 32, 48), (256, 16, 24), (512, 8, 12), (1024, 4, 6)]
    assert seen == down + down[-2::-1]


@pytest.mark.parametrize("norm", ["none", "batch", "instance"])
@pytest.mark.parametrize(("depth", "height", "width"), [(1, 6, 2), (2, 20, 8), (3, 16, 40)])
def test_logits_are_as_large_as_the_image(norm: str, depth: int, height: int, width: int) -> None:
    network = UNet(**{**TINY, "in_channels": 3, "depth": depth, "norm": norm})
    assert network(torch.zeros(2, 3, height, width)).shape == (2, 2, height, width)


def test_image_that_does_not_divide_is_refused_with_its_size_and_the_multiple() -> None:
    with pytest.raises(LiverError, match=r"40x50 .* expected multiples of 16"):
        UNet(**{**TINY, "depth": 4})(torch.zeros(1, 1, 40, 50))


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("in_channels", 0),
        ("classes", 0),
        ("base_channels", 0),
        ("base_channels", 1.5),
        ("depth", 0),
        ("depth", 9),
        ("depth", True),
        ("depth", "four"),
        ("norm", "layer"),
        ("dropout", 1.0),
        ("dropout", -0.1),
        ("dropout", float("nan")),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_option_out_of_range_is_named(option: str, value: Any) -> None:
    with pytest.raises(LiverError, match=rf"model\.{option}={value!r}: expected"):
        from_yaml(CONF / "unet.yaml", **{**TINY, option: value})


@pytest.mark.parametrize(("norm", "norms"), [("none", 0), ("batch", 10), ("instance", 10)])
def test_convolution_has_a_bias_unless_a_norm_follows(norm: str, norms: int) -> None:
    modules = list(UNet(**{**TINY, "norm": norm}).modules())
    biased = [m.bias is not None for m in modules if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]
    assert biased == [norm == "none"] * 10
    assert sum(isinstance(m, nn.BatchNorm2d | nn.InstanceNorm2d) for m in modules) == norms


def test_dropout_follows_the_last_two_encoder_stages_only() -> None:
    network = UNet(**{**TINY, "depth": 4, "dropout": 0.5})
    dropped = [name for name, module in network.named_modules() if isinstance(module, nn.Dropout)]
    assert dropped == ["encoder.3.dropout", "encoder.4.dropout"]


def test_dropout_is_on_in_training_and_off_in_evaluation() -> None:
    torch.manual_seed(0)
    network, images = UNet(**{**TINY, "dropout": 0.5}), torch.rand(1, 1, 16, 16)
    assert not torch.equal(network(images), network(images))
    network.eval()
    assert torch.equal(network(images), network(images))


def test_weights_start_with_the_deviation_that_the_paper_gives() -> None:
    torch.manual_seed(0)
    network = UNet(**{**TINY, "base_channels": 32, "depth": 2})
    incoming = {"encoder.1.conv2": 9 * 64, "decoder.0.up": 128, "decoder.0.fuse.conv1": 9 * 128}
    for name, count in incoming.items():
        assert network.get_submodule(name).weight.std().item() == pytest.approx((2 / count) ** 0.5, rel=0.03)
    biases = [parameter for name, parameter in network.named_parameters() if name.endswith("bias")]
    assert all(not bias.any() for bias in biases)


@pytest.mark.parametrize("norm", ["none", "batch", "instance"])
def test_gradients_reach_every_parameter(norm: str) -> None:
    torch.manual_seed(0)
    network = UNet(**{**TINY, "norm": norm})
    network(torch.rand(2, 1, 16, 16)).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in network.parameters())


def test_freezing_the_first_encoder_stages_leaves_the_rest_learning() -> None:
    network = UNet(**TINY)
    for stage in network.encoder[:2]:
        stage.requires_grad_(False)
    network(torch.rand(1, 1, 16, 16)).sum().backward()
    learning = {name.split(".")[0] + name.split(".")[1] for name, p in network.named_parameters() if p.grad is not None}
    assert learning == {"encoder2", "decoder0", "decoder1", "headweight", "headbias"}


@pytest.mark.parametrize("path", YAMLS, ids=[path.stem for path in YAMLS])
def test_every_yaml_builds_a_network_with_one_logit_map_a_class(path: Path) -> None:
    target = OmegaConf.to_container(OmegaConf.load(path), resolve=False)["_target_"]
    needs(target.split(".")[0])
    network = from_yaml(path, in_channels=3).eval()
    with torch.inference_mode():
        assert network(torch.rand(1, 3, 32, 64)).shape == (1, 2, 32, 64)
