import math

import pytest
import torch
from torch import nn

from lightning_liver.inference.uncertainty import Members, dropping_out, entropy_bits, has_dropout


def test_entropy_is_one_bit_at_one_half_and_zero_at_certainty() -> None:
    given = torch.tensor([0.5, 0.0, 1.0, 0.25]).reshape(1, 1, 2, 2)
    expected = [1.0, 0.0, 0.0, -(0.25 * math.log2(0.25) + 0.75 * math.log2(0.75))]
    assert entropy_bits(given).flatten().tolist() == pytest.approx(expected)


def test_uncertainties_equal_those_of_the_stacked_members() -> None:
    logits = torch.randn(5, 2, 2, 3, 4, generator=torch.Generator().manual_seed(0))
    members = Members()
    for one in logits:
        members.add(one)
    p = logits.sigmoid().double()
    mean = p.mean(0)

    def h(q: torch.Tensor) -> torch.Tensor:
        return -(q * q.log2() + (1 - q) * (1 - q).log2())

    assert torch.allclose(members.mean().double(), mean, atol=1e-6)
    assert torch.allclose(members.uncertainty("entropy").double(), h(mean).amax(1), atol=1e-5)
    assert torch.allclose(
        members.uncertainty("mutual_information").double(), (h(mean) - h(p).mean(0)).amax(1), atol=1e-5
    )
    assert torch.allclose(members.uncertainty("variance").double(), p.var(0, correction=0).amax(1), atol=1e-5)


@pytest.mark.parametrize("kind", ["mutual_information", "variance"])
def test_members_that_agree_have_no_disagreement(kind: str) -> None:
    members = Members()
    for _ in range(3):
        members.add(torch.full((1, 2, 2, 2), 0.7))
    assert members.uncertainty(kind).abs().max() < 1e-6  # type: ignore[arg-type]


def test_dropout_alone_is_switched_on_and_off() -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 1), nn.BatchNorm2d(4), nn.Dropout(0.5)).eval()
    statistics = network[1].running_mean.clone()
    given = torch.randn(2, 1, 8, 8)
    with dropping_out(network):
        assert not torch.equal(network(given), network(given))
        assert not network[1].training
    assert torch.equal(network(given), network(given))
    assert torch.equal(network[1].running_mean, statistics)
    assert not network.training
    assert has_dropout(network)
    assert not has_dropout(nn.Sequential(nn.Dropout(0.0)))
