"""Comparison with MONAI where its formula is the same; the docstrings say where it is not."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from lightning_liver.losses.deep import deep_supervision
from tests.losses.common import named, sample

monai = pytest.importorskip("monai.losses", reason="MONAI is an optional extra, and here an oracle")

LOGITS, TARGET = sample(0, (2, 2, 12, 9))
OVERLAP = {"sigmoid": True, "batch": True, "smooth_nr": 0.5, "smooth_dr": 0.5}

Pair = tuple[Callable[[Tensor, Tensor], Tensor], Callable[[Tensor, Tensor], Tensor]]


def pairs() -> dict[str, Pair]:
    return {
        "focal": (named("focal", gamma=1.5, alpha=0.3), monai.FocalLoss(gamma=1.5, alpha=0.3)),
        "dice": (named("dice", smooth=0.5), monai.DiceLoss(squared_pred=True, **OVERLAP)),
        "tversky": (named("tversky", smooth=0.5), monai.TverskyLoss(alpha=0.3, beta=0.7, **OVERLAP)),
        "hausdorff": (named("hausdorff"), monai.HausdorffDTLoss(include_background=True, sigmoid=True)),
        "dice_focal": (
            named("dice_focal", smooth=0.5),
            monai.DiceFocalLoss(squared_pred=True, gamma=2.0, alpha=0.25, lambda_focal=0.5, **OVERLAP),
        ),
    }


@pytest.mark.parametrize("name", ["focal", "dice", "tversky", "hausdorff", "dice_focal"])
def test_value_and_gradient_equal_monai(name: str) -> None:
    results = []
    for loss in pairs()[name]:
        logits = LOGITS.clone().requires_grad_()
        cost = loss(logits, TARGET)
        cost.backward()
        results.append((cost.detach(), logits.grad))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_generalised_dice_equals_monai_with_the_background_as_a_channel() -> None:
    theirs = monai.GeneralizedDiceLoss(batch=True, smooth_nr=0.0, smooth_dr=0.0)
    per_class = []
    for c in range(2):
        p, y = LOGITS[:, c].sigmoid(), TARGET[:, c]
        per_class.append(theirs(torch.stack((1 - p, p), 1), torch.stack((1 - y, y), 1)))
    torch.testing.assert_close(named("generalised_dice")(LOGITS, TARGET), torch.stack(per_class).mean())


def test_boundary_with_the_map_of_monai_equals_monai_minus_the_truth() -> None:
    theirs = monai.BoundaryLoss()
    offset = theirs(TARGET, TARGET)
    ours = named("boundary")(LOGITS, TARGET, distance=theirs.compute_distance_map(TARGET))
    torch.testing.assert_close(ours, theirs(LOGITS.sigmoid(), TARGET) - offset)


def test_unified_focal_equals_monai_for_probabilities_of_one_class_and_slice() -> None:
    logits, target = LOGITS[:1, :1], TARGET[:1, :1]
    theirs = monai.AsymmetricUnifiedFocalLoss(weight=0.3, gamma=0.5, delta=0.6)(logits.sigmoid(), target)
    ours = named("asymmetric_unified_focal", weight=0.3, smooth=1e-6)(logits, target)
    # `raised` subtracts 1e-7 ** 0.5
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0.7 * 1e-7**0.5)


@pytest.mark.parametrize("iterations", [0, 3])
def test_cldice_equals_monai_for_one_class_and_slice(iterations: int) -> None:
    logits, target = LOGITS[:1, :1], TARGET[:1, :1]
    theirs = monai.SoftclDiceLoss(iter_=iterations, smooth=1e-12, sigmoid=True)(logits, target)
    ours = named("cldice", alpha=1.0, iterations=iterations)(logits, target)
    torch.testing.assert_close(ours, theirs)


def test_deep_supervision_equals_monai_over_the_sum_of_weights() -> None:
    levels = [LOGITS[:, :, ::4, ::3], LOGITS[:, :, ::2, ::2], LOGITS]
    theirs = monai.DeepSupervisionLoss(monai.DiceLoss(squared_pred=True, **OVERLAP))(levels[::-1], TARGET)
    ours = deep_supervision(levels, TARGET, loss=named("dice", smooth=0.5), decay=0.5)
    torch.testing.assert_close(ours, theirs / 1.75)
