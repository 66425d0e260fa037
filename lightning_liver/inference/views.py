"""Logits of slices on the scan's own grid, and the views whose disagreement is the uncertainty."""

from collections.abc import Callable, Sequence
from functools import partial, reduce

import torch
from torch import nn
from torch.nn.functional import logsigmoid

from lightning_liver.inference.label_maps import GridMasks, to_grid
from lightning_liver.inference.tta import Axes, flipped_views
from lightning_liver.inference.uncertainty import Members, dropping_out
from lightning_liver.types.tensors import Images, Masks

Apply = Callable[[nn.Module, Images], Masks]


def predict_logits(
    network: nn.Module,
    apply: Apply,
    images: Images,
    grid: tuple[int, int],
    *,
    flips: Sequence[Axes],
    members: Members | None = None,
    passes: int = 0,
) -> GridMasks:
    """Return the logits of the mean probability of mirrored views, and add what uncertainty compares to `members`.

    Args:
        apply: (network, images) -> logits on the grid of the images, such as whole_slice_logits with its multiple.
        grid: height and width of the result.
        flips: see inference.tta.
        members: gets each mirrored view, or each pass where there are `passes`; None skips both.
        passes: with dropout, for the uncertainty alone.
    """
    forward = partial(apply, network)
    views = [to_grid(view, grid) for view in flipped_views(forward, images, flips=flips)]
    if members is not None and not passes:
        for view in views:
            members.add(view)
    if members is not None and passes:
        with dropping_out(network):
            for _ in range(passes):
                members.add(to_grid(forward(images), grid))
    return logits_of_mean(views)


def logits_of_mean(views: Sequence[Masks]) -> Masks:
    """Return the logits of the mean probability: log sum(p) - log sum(1 - p), finite where the given logits are.

    Args:
        views: logits, all of one shape (batch, cls, height, width); one alone is returned as it is.
    """
    if len(views) == 1:
        return views[0]
    return reduce(torch.logaddexp, map(logsigmoid, views)) - reduce(torch.logaddexp, (logsigmoid(-v) for v in views))
