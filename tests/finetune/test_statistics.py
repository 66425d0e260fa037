"""Batch-norm statistics of a domain against the moments of all its pixels."""

import pytest
import torch
from torch import nn

from lightning_liver.finetune.statistics import estimate, norms, statistics_of, use_statistics
from tests.finetune.tiny import Tiny


def test_statistics_are_the_moments_of_every_pixel_of_the_domain() -> None:
    """Of batches of unlike brightness: a mean of the batches' variances would be too small."""
    network = Tiny().train()
    batches = [torch.randn(3, 1, 8, 8) * (n + 1) + 5 * n for n in range(4)]
    with torch.no_grad():
        seen = network.encoder[0][0](torch.cat(batches)).transpose(0, 1).flatten(1)
    found = estimate(network, batches)
    torch.testing.assert_close(found["encoder.0.1.running_mean"], seen.mean(dim=1))
    torch.testing.assert_close(found["encoder.0.1.running_var"], seen.var(dim=1))


def test_estimating_changes_no_bit_of_the_network_and_no_mode() -> None:
    network = nn.Sequential(Tiny(), nn.Dropout(0.5)).train()
    network[0].encoder[0].eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    modes = [module.training for module in network.modules()]
    first = estimate(network, [torch.randn(2, 1, 8, 8)])
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert [module.training for module in network.modules()] == modes
    assert first.keys() == statistics_of(network).keys()


def test_a_layer_sees_its_input_normalised_by_the_target() -> None:
    """A shift of all pixels changes the statistics of the first norm, and nothing behind it."""
    network = nn.Sequential(nn.BatchNorm2d(1), nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
    images = torch.randn(4, 1, 6, 6)
    plain, moved = (estimate(network, [each]) for each in (images, images * 3 + 100))
    torch.testing.assert_close(moved["0.running_mean"], plain["0.running_mean"] * 3 + 100, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(moved["2.running_var"], plain["2.running_var"], rtol=1e-3, atol=1e-4)


def test_written_statistics_are_those_that_predictions_use() -> None:
    network = Tiny().eval()
    images = torch.randn(4, 1, 8, 8) * 2 + 7
    use_statistics(network, estimate(network, [images]))
    with torch.no_grad():
        normal = network.encoder[0](images)
    torch.testing.assert_close(normal.mean(dim=(0, 2, 3)), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(normal.var(dim=(0, 2, 3)), torch.ones(3), atol=1e-2, rtol=0)


def test_networks_without_batch_norm_have_no_statistics() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.InstanceNorm2d(2, track_running_stats=True))
    assert not norms(network)
    assert estimate(network, [torch.zeros(2, 1, 4, 4)]) == statistics_of(network) == {}
    with pytest.raises(KeyError):
        use_statistics(Tiny(), {})
