"""python experiments/loss_examples/table.py [FOLDER ...]

Print both tables of README.md: the value of each loss for an empty prediction, and Dice of two overlaps. The losses are
those of conf/loss, and of loss/ in further config folders.
"""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from lightning_liver.build import build
from lightning_liver.config import compose, losses
from lightning_liver.losses.region import dice
from lightning_liver.tables import Row, text_table

SURE = 20.0  # a logit of +-20 is a probability of 1 or 0 to 2e-9


def lone_block() -> Tensor:
    """Return 96x96 with 10 foreground pixels, the same for both classes: (1, 2, 96, 96)."""
    target = torch.zeros(1, 2, 96, 96)
    target[..., 47:49, 45:50] = 1
    return target


def sure_of(masks: Tensor) -> Tensor:
    return SURE * (2 * masks - 1)


def loss_rows(*folders: Path) -> list[Row]:
    """Return the value of each loss for three predictions of one block."""
    target = lone_block()
    half = target.clone()
    half[..., 47, :] = 0
    predictions = {"empty": 0 * target, "half found": half, "perfect": target}
    search = f"hydra.searchpath=[{','.join(f'file://{each.absolute()}' for each in folders)}]"
    built: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        name: build(compose("train", [search, f"loss={name}"]).loss) for name in losses(*folders)
    }
    measures: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        "(wrong pixels, %)": lambda logits, truth: 100 * ((logits > 0) != truth.bool()).float().mean(),
        "(1 - Dice)": partial(dice, smooth=1e-6, class_weights=None),
    }
    return [
        {"loss": name, **{title: loss(sure_of(p), target).item() for title, p in predictions.items()}}
        for name, loss in (measures | built).items()
    ]


def overlap_rows() -> list[Row]:
    """Return Dice of two classes of 100 pixels: the prediction finds none of the first and 95 of the second."""
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
    print(text_table(loss_rows(*map(Path, sys.argv[1:]))), text_table(overlap_rows()), sep="\n\n")


if __name__ == "__main__":
    main()
