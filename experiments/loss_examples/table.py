"""python experiments/loss_examples/table.py

Prints both tables of README.md: what each loss of conf/loss says of an empty prediction, and Dice of two overlaps.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from lightning_liver.build import build
from lightning_liver.config import compose, folder
from lightning_liver.losses.region import dice
from lightning_liver.tables import Row, text_table

SURE = 20.0  # a logit of +-20 is a probability of 1 or 0 to 2e-9
WRAPPER = "deep_supervision"  # of one resolution it is the loss that it wraps


def lone_block() -> Tensor:
    """96x96 with 10 foreground pixels, the same for both classes: (1, 2, 96, 96)."""
    target = torch.zeros(1, 2, 96, 96)
    target[..., 47:49, 45:50] = 1
    return target


def sure_of(masks: Tensor) -> Tensor:
    return SURE * (2 * masks - 1)


def loss_rows() -> list[Row]:
    target = lone_block()
    half = target.clone()
    half[..., 47, :] = 0
    predictions = {"empty": 0 * target, "half found": half, "perfect": target}
    names = sorted(path.stem for path in (folder() / "loss").glob("*.yaml") if path.stem != WRAPPER)
    losses: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        name: build(compose("train", [f"loss={name}"]).loss) for name in names
    }
    measures: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        "(wrong pixels, %)": lambda logits, truth: 100 * ((logits > 0) != truth.bool()).float().mean(),
        "(1 - Dice)": partial(dice, smooth=1e-6, class_weights=None),
    }
    return [
        {"loss": name, **{title: loss(sure_of(p), target).item() for title, p in predictions.items()}}
        for name, loss in (measures | losses).items()
    ]


def overlap_rows() -> list[Row]:
    """Two classes of 100 pixels: of the first the prediction finds none, of the second 95."""
    target, predicted = torch.zeros(1, 2, 20, 20), torch.zeros(1, 2, 20, 20)
    target.view(2, 400)[:, :100] = 1
    predicted.view(2, 400)[0, 100:200] = predicted.view(2, 400)[1, 5:105] = 1
    both = partial(dice, sure_of(predicted), target, smooth=1e-6)
    return [
        {"class": "first", "overlap": 0.0, "Dice loss": both(class_weights=[1, 0]).item()},
        {"class": "second", "overlap": 0.95, "Dice loss": both(class_weights=[0, 1]).item()},
        {"class": "both", "overlap": (0 + 0.95) / 2, "Dice loss": both(class_weights=None).item()},
    ]


def main() -> None:
    print(text_table(loss_rows()), text_table(overlap_rows()), sep="\n\n")


if __name__ == "__main__":
    main()
