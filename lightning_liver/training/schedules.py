"""Learning-rate schedules by step: a linear warm-up, then a decay that ends with the last step.

They ask for the number of steps at every step, since a run with a wall-clock budget fixes it in mid-training.
"""

import math
from collections.abc import Callable

from pydantic import validate_call
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from lightning_liver.types.options import Checked, Fraction, Natural, Positive


@validate_call(config=Checked)
def cosine(
    optimizer: Optimizer, total_steps: Callable[[], float], *, warmup_steps: Natural, final: Fraction
) -> LambdaLR:
    """Decay along half a cosine to `final` times the learning rate. Source: Loshchilov & Hutter, arXiv:1608.03983."""

    def decay(progress: float) -> float:
        return final + (1 - final) * (1 + math.cos(math.pi * progress)) / 2

    return _warm_then(decay, optimizer, total_steps, warmup_steps)


@validate_call(config=Checked)
def polynomial(
    optimizer: Optimizer,
    total_steps: Callable[[], float],
    *,
    warmup_steps: Natural,
    power: Positive,
) -> LambdaLR:
    """Decay by (1 - progress) ** power. Source: Chen et al. 2018, DeepLab, arXiv:1606.00915; nnU-Net uses power 0.9."""
    return _warm_then(lambda progress: (1 - progress) ** power, optimizer, total_steps, warmup_steps)


@validate_call(config=Checked)
def constant(optimizer: Optimizer, total_steps: Callable[[], float], *, warmup_steps: Natural) -> LambdaLR:
    """Keep the learning rate, after the warm-up."""
    return _warm_then(lambda progress: 1.0, optimizer, total_steps, warmup_steps)


def _warm_then(
    decay: Callable[[float], float], optimizer: Optimizer, total_steps: Callable[[], float], warmup_steps: int
) -> LambdaLR:
    def factor(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / (warmup_steps + 1)
        if step == warmup_steps:  # needs no total: asking on construction would make Lightning load data too early
            return decay(0.0)
        remaining = total_steps() - warmup_steps
        return decay(min((step - warmup_steps) / remaining, 1.0) if remaining > 0 else 1.0)

    return LambdaLR(optimizer, factor)
