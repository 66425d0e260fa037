"""Masks and uncertainty come from the probabilities of mirrored views; passes with dropout serve uncertainty alone."""

import math
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn.functional import interpolate

from lightning_liver.inference.label_maps import whole_slice_logits
from lightning_liver.inference.tta import FLIPS
from lightning_liver.inference.uncertainty import Members, entropy_bits
from lightning_liver.inference.views import logits_of_mean, predict_logits

GRID = (24, 18)


def network(dropout: float = 0.0) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Dropout(dropout), nn.Conv2d(4, 2, 3, padding=1)).eval()


def on_grid(logits: torch.Tensor) -> torch.Tensor:
    return interpolate(logits, size=GRID, mode="bilinear")


APPLY = partial(whole_slice_logits, multiple=4)
IMAGES = torch.randn(2, 1, 12, 8, generator=torch.Generator().manual_seed(1))


@torch.inference_mode()
def test_mask_and_uncertainty_come_from_the_mean_probability_of_the_views() -> None:
    net, members = network(), Members()
    views = [on_grid(net(IMAGES.flip(axes)).flip(axes)).double().sigmoid() for axes in FLIPS]
    logits = predict_logits(net, APPLY, IMAGES, GRID, flips=FLIPS, members=members)
    expected = torch.stack(views).mean(dim=0)
    torch.testing.assert_close(logits.sigmoid().double(), expected, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(members.mean(), logits.sigmoid())
    torch.testing.assert_close(members.uncertainty("entropy"), entropy_bits(logits.sigmoid()).amax(dim=1))
    assert members.count == len(FLIPS)


def test_one_confident_view_does_not_outweigh_the_others() -> None:
    """Logits 20, -1, -1 have the mean 6 and a mean probability below one half."""
    views = [torch.full((1, 2, 1, 1), value) for value in (20.0, -1.0, -1.0)]
    probability = sum(1 / (1 + math.exp(-value)) for value in (20, -1, -1)) / 3
    assert logits_of_mean(views)[0, 0, 0, 0].item() == pytest.approx(
        math.log(probability / (1 - probability)), rel=1e-5
    )


def test_logits_of_certain_views_stay_finite() -> None:
    views = [
        torch.tensor([300.0, -300.0, 300.0]).reshape(1, 3, 1, 1),
        torch.tensor([300.0, -300.0, -300.0]).reshape(1, 3, 1, 1),
    ]
    assert logits_of_mean(views).flatten().tolist() == [300, -300, 0]


@torch.inference_mode()
def test_one_view_keeps_its_logits_to_the_bit() -> None:
    net = network()
    assert torch.equal(predict_logits(net, APPLY, IMAGES, GRID, flips=((),)), on_grid(net(IMAGES)))


@torch.inference_mode()
def test_passes_with_dropout_change_the_members_alone() -> None:
    net, members = network(dropout=0.5), Members()
    logits = predict_logits(net, APPLY, IMAGES, GRID, flips=((),), members=members, passes=3)
    torch.testing.assert_close(logits, on_grid(net(IMAGES)))
    assert members.count == 3
    assert members.uncertainty("variance").max() > 0


@torch.inference_mode()
def test_passes_are_skipped_where_no_uncertainty_is_wanted() -> None:
    net, calls = network(dropout=0.5), []
    net.register_forward_hook(lambda *_: calls.append(1))
    predict_logits(net, APPLY, IMAGES, GRID, flips=FLIPS, passes=3)
    assert len(calls) == len(FLIPS)
