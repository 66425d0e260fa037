"""Deep supervision: any loss at every resolution of the network."""

from collections.abc import Callable, Sequence

from jaxtyping import Float, Float32
from torch import Tensor
from torch.nn import functional

from lightning_liver.errors import LiverError
from lightning_liver.losses.checks import Truth
from lightning_liver.types.options import Fraction
from lightning_liver.types.tensors import Masks, Scalar

LevelLoss = Callable[[Masks, Masks], Scalar]
Level = Float[Tensor, "batch cls _ _"]  # of whatever size


def deep_supervision(logits: Level | Sequence[Level], target: Truth, *, loss: LevelLoss, decay: Fraction) -> Scalar:
    """Weighted mean of a loss over resolutions; each coarser one weighs decay times the next finer.

    The target of a coarse pixel is that of the pixel in its middle (nearest-exact), as in nnU-Net and MONAI: it stays
    in {0, 1}, as losses of distances and skeletons need, but a structure smaller than a coarse pixel may vanish. The
    finest level must have the target's own size.

    Args:
        logits: raw network outputs, each (batch, cls, height, width), coarse to fine. One alone, as networks give when
            outside training, is the finest.
        target: truth in {0, 1}, of the finest size.
        loss: (logits, target) -> scalar.
        decay: 0.5 in nnU-Net; 0 is the finest level alone, 1 weighs all alike.

    Raises:
        LiverError: there are no logits, or the loss raises one.

    Source: Lee et al. 2015, arXiv:1409.5185; weights as in Isensee et al. 2021, doi:10.1038/s41592-020-01008-z.
    """
    levels = [logits] if isinstance(logits, Tensor) else list(logits)
    if not levels:
        raise LiverError("the network returns no output to supervise; return logits or a list of them")
    weights = [decay**depth for depth in reversed(range(len(levels)))]
    losses = [loss(level, _resized(target, level)) for level in levels[:-1]] + [loss(levels[-1], target.float())]
    return sum((w * value for w, value in zip(weights, losses, strict=True)), start=0 * losses[-1]) / sum(weights)


def _resized(target: Truth, level: Level) -> Float32[Tensor, "batch cls _ _"]:
    return functional.interpolate(target.float(), size=level.shape[2:], mode="nearest-exact")
