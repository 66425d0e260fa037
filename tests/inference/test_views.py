"""The mask goes by the mean logit, the uncertainty by the probabilities of each view or pass."""

from functools import partial

import torch
from torch import nn
from torch.nn.functional import interpolate

from lightning_liver.inference.label_maps import whole_slice_logits
from lightning_liver.inference.tta import FLIPS
from lightning_liver.inference.uncertainty import Members
from lightning_liver.inference.views import mean_logits

GRID = (24, 18)


def network(dropout: float = 0.0) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Dropout(dropout), nn.Conv2d(4, 2, 3, padding=1)).eval()


def on_grid(logits: torch.Tensor) -> torch.Tensor:
    return interpolate(logits, size=GRID, mode="bilinear")


APPLY = partial(whole_slice_logits, multiple=4)
IMAGES = torch.randn(2, 1, 12, 8, generator=torch.Generator().manual_seed(1))


@torch.inference_mode()
def test_logits_are_the_mean_of_views_and_members_are_the_views() -> None:
    net, members = network(), Members()
    views = [net(IMAGES.flip(axes)).flip(axes) for axes in FLIPS]
    logits = mean_logits(net, APPLY, IMAGES, GRID, flips=FLIPS, members=members)
    torch.testing.assert_close(logits, on_grid(torch.stack(views).mean(dim=0)))
    assert members.count == len(FLIPS)
    torch.testing.assert_close(members.mean(), torch.stack([on_grid(view).sigmoid() for view in views]).mean(dim=0))


@torch.inference_mode()
def test_passes_with_dropout_change_the_members_alone() -> None:
    net, members = network(dropout=0.5), Members()
    logits = mean_logits(net, APPLY, IMAGES, GRID, flips=((),), members=members, passes=3)
    torch.testing.assert_close(logits, on_grid(net(IMAGES)))
    assert members.count == 3
    assert members.uncertainty("variance").max() > 0


@torch.inference_mode()
def test_passes_are_skipped_where_no_uncertainty_is_wanted() -> None:
    net, calls = network(dropout=0.5), []
    net.register_forward_hook(lambda *_: calls.append(1))
    mean_logits(net, APPLY, IMAGES, GRID, flips=FLIPS, passes=3)
    assert len(calls) == len(FLIPS)
