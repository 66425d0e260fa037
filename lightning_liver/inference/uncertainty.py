"""Uncertainty of a prediction, from the probabilities of several members: views, dropout passes or networks."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lightning_liver.errors import LiverError
from lightning_liver.types.tensors import Masks

Map = Float[Tensor, "batch height width"]
Kind = Literal["entropy", "margin", "mutual_information", "variance"]

KINDS = get_args(Kind)

_DROPOUTS = (nn.Dropout, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
_LN2 = math.log(2)


class Members:
    """Running sums over the probabilities of members, all of one shape (batch, cls, height, width)."""

    def __init__(self) -> None:
        self.count = 0
        self._probability = self._square = self._entropy = torch.zeros(())

    def add(self, logits: Masks) -> None:
        probability = logits.float().sigmoid()
        self.count += 1
        self._probability = self._probability + probability
        self._square = self._square + probability.square()
        self._entropy = self._entropy + entropy_bits(probability)

    def mean(self) -> Masks:
        """Return the mean probability of the members."""
        return self._probability / self.count

    def uncertainty(self, kind: Kind) -> Map:
        """Return the larger uncertainty of liver and tumour.

        - entropy of the mean probability, in bits, 0 to 1: the total uncertainty;
        - margin: 1 - |2p - 1| of the mean probability, 0 where it is certain and 1 where it is one half;
        - mutual_information: that entropy less the members' mean entropy, their disagreement;
        - variance of the probability over members, 0 to 0.25.

        Source: Gal 2016, "Uncertainty in Deep Learning", section 3.3; of one member only entropy and margin
        are not zero.
        """
        mean = self.mean()
        if kind == "entropy":
            map_ = entropy_bits(mean)
        elif kind == "margin":
            map_ = 1 - (2 * mean - 1).abs()
        elif kind == "mutual_information":
            map_ = (entropy_bits(mean) - self._entropy / self.count).clamp_min(0)
        else:
            map_ = (self._square / self.count - mean.square()).clamp_min(0)
        return map_.amax(dim=1)


def entropy_bits(probability: Masks) -> Masks:
    """Return the entropy of a binary variable with this probability."""
    surprise = torch.special.entr(probability) + torch.special.entr(1 - probability)
    return surprise / _LN2


def check_uncertainty(kind: Kind | None, passes: int, *, views: int, dropout: bool) -> None:
    """Refuse options that would make a map of zeros, or none at all.

    Args:
        views: number of probabilities of each voxel.
        dropout: True if every network has some.

    Raises:
        LiverError: passes without a map or without dropout, or a disagreement of one view with itself.
    """
    if passes and kind is None:
        raise LiverError(f"passes={passes}: expected an uncertainty, too; name one of {', '.join(KINDS)}")
    if passes and not dropout:
        raise LiverError(f"passes={passes}: the network has no dropout; train one with model.dropout=0.3")
    if kind not in (None, "entropy", "margin") and views == 1:
        raise LiverError(
            f"uncertainty={kind}: expected several views; set inference.flips=true, passes=10 or several runs, or "
            "take uncertainty=entropy or margin"
        )


def has_dropout(network: nn.Module) -> bool:
    """Return True if passes with dropout would differ."""
    return any(isinstance(module, _DROPOUTS) and module.p > 0 for module in network.modules())


@contextmanager
def dropping_out(network: nn.Module) -> Iterator[None]:
    """Switch on dropout alone: Monte-Carlo dropout, Gal & Ghahramani 2016, arXiv:1506.02142."""
    layers = [module for module in network.modules() if isinstance(module, _DROPOUTS)]
    before = [layer.training for layer in layers]
    for layer in layers:
        layer.train()
    try:
        yield
    finally:
        for layer, training in zip(layers, before, strict=True):
            layer.train(training)
