"""Pooled features are the mean of a part's output, wherever the part is."""

import pytest
import torch
from torch import nn

from lightning_liver.errors import LiverError
from lightning_liver.inference.features import find_part, pool_features
from lightning_liver.models.unet import UNet


@pytest.fixture
def network() -> UNet:
    torch.manual_seed(0)
    return UNet(in_channels=1, classes=2, base_channels=4, depth=2, norm="batch", dropout=0.0).eval()


def test_the_bottleneck_is_the_last_part_of_the_encoder(network: UNet) -> None:
    assert find_part(network, "encoder.*") == "encoder.2"
    with pytest.raises(LiverError, match=r"part: no part of the network is called stem; it has encoder\.0"):
        find_part(network, "stem")


def test_pooled_features_are_the_means_of_feature_maps(network: UNet) -> None:
    images = torch.randn(3, 1, 16, 24)
    features = images
    for stage in network.encoder:
        features = stage(features)
    found = pool_features(network, "encoder.2", images, network)
    assert torch.allclose(found, features.mean((2, 3)))
    assert found.shape == (3, 16)
    assert not network.encoder[2]._forward_hooks


def test_a_part_without_maps_is_refused() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    with pytest.raises(LiverError, match=r"part=1: its output is no feature map"):
        pool_features(network, "1", torch.zeros(1, 1, 4, 4), network)
