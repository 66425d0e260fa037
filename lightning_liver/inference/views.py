"""Logits of slices on the scan's own grid, and the views whose disagreement is the uncertainty."""

from collections.abc import Callable, Sequence
from functools import partial

from torch import nn

from lightning_liver.inference.label_maps import GridMasks, to_grid
from lightning_liver.inference.tta import Axes, flipped_views
from lightning_liver.inference.uncertainty import Members, dropping_out
from lightning_liver.types.tensors import Images, Masks

Apply = Callable[[nn.Module, Images], Masks]


def mean_logits(
    network: nn.Module,
    apply: Apply,
    images: Images,
    grid: tuple[int, int],
    *,
    flips: Sequence[Axes],
    members: Members | None = None,
    passes: int = 0,
) -> GridMasks:
    """Return the mean logits of mirrored views, and add the views that uncertainty compares to `members`.

    Args:
        apply: (network, images) -> logits on the grid of the images, such as whole_slice_logits with its multiple.
        grid: height and width of the result.
        flips: see inference.tta.
        members: gets each mirrored view, or each pass where there are `passes`; None skips both.
        passes: with dropout, for the uncertainty alone.
    """
    forward = partial(apply, network)
    views = flipped_views(forward, images, flips=flips)
    if members is not None and not passes:
        for view in views:
            members.add(to_grid(view, grid))
    if members is not None and passes:
        with dropping_out(network):
            for _ in range(passes):
                members.add(to_grid(forward(images), grid))
    return to_grid(views.mean(dim=0), grid)
