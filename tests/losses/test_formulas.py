"""Values and gradients against float64."""

from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.losses.common import YAMLS, named, options_of, sample

OTHER_OPTIONS: dict[str, list[dict[str, Any]]] = {
    "weighted_bce": [{"positive_weights": [0.5, 30.0]}],
    "focal": [
        {"gamma": gamma, "alpha": alpha, "balanced": balanced}
        for gamma in (0.0, 0.5, 5.0)
        for alpha in (0.25, 1.0)
        for balanced in (True, False)
    ],
    "dice": [{"smooth": 1e-5}, {"smooth": 100.0}],
    "tversky": [{"alpha": 1.5, "beta": 0.0, "smooth": 1e-5}],
    "focal_tversky": [{"gamma": 3.0, "smooth": 1e-3}, {"gamma": 0.5}],
    "sensitivity_specificity": [{"ratio": 0.9, "smooth": 1e-5}],
    "hausdorff": [{"alpha": 1.0}, {"alpha": 0.0}],
    "dice_bce": [{"dice_weight": 0.7, "bce_weight": 2.0}],
    "combo": [{"alpha": 0.2, "beta": 0.8}],
    "exponential_logarithmic": [{"gamma": 2.0, "bce_weight": 1.5}],
    "dice_focal": [{"dice_weight": 0.3, "gamma": 1.0, "balanced": False}],
    "asymmetric_unified_focal": [{"weight": 0.2, "delta": 0.9, "gamma": 0.0, "smooth": 0.1}],
    "structural_similarity": [{"bce_weight": 0.1, "window": 5, "sigma": 0.8, "beta": 0.5}],
    "cldice": [{"alpha": 1.0, "iterations": 0}, {"iterations": 2, "smooth": 0.01}],
}


ORACLES = [import_module(f"tests.losses.{path.stem}") for path in sorted(Path(__file__).parent.glob("oracles*.py"))]


def oracle_of(name: str) -> Callable[..., float]:
    found = [getattr(module, name) for module in ORACLES if hasattr(module, name)]
    assert found, f"write the formula of {name} out in tests/losses/oracles.py"
    return found[0]


CASES = [(path, other) for path in YAMLS for other in ({}, *OTHER_OPTIONS.get(path.stem, []))]
every_case = pytest.mark.parametrize(
    ("name", "options"),
    [(path.stem, {**options_of(path), **other}) for path, other in CASES],
    ids=[f"{path.stem} {other or ''}" for path, other in CASES],
)


def pair(name: str, options: dict[str, Any], logits: Tensor) -> tuple[Callable[..., Tensor], Callable[..., float]]:
    own = {option: value for option, value in options.items() if option != "class_weights"}
    if name == "structural_similarity":  # its weights have no gradient: keep those of these logits
        own["weights_of"] = [logits[:, c].detach().double().numpy() for c in range(logits.shape[1])]
    return named(name, **options), partial(oracle_of(name), **own)


@every_case
@pytest.mark.parametrize("truth", ["mixed", "empty", "full", "two pixels"])
def test_value_equals_the_oracle(name: str, options: dict[str, Any], truth: str) -> None:
    logits, target = sample(0, (1, 2, 20, 24) if truth == "two pixels" else (2, 2, 5, 7))
    if truth == "two pixels":
        target.zero_()
        target[0, 0, 7, 20] = target[0, 1, 0, 23] = 1
    elif truth != "mixed":
        target[0] = target[:, 1] = float(truth == "full")  # a slice without boundary, and an empty or full class
    loss, oracle = pair(name, options, logits)
    expected = oracle(logits.double().numpy(), target.double().numpy())
    assert loss(logits, target).item() == pytest.approx(expected, abs=1e-5, rel=1e-5)


@every_case
def test_gradient_equals_the_oracle(name: str, options: dict[str, Any]) -> None:
    logits, target = sample(1, (2, 2, 2, 3))
    loss, oracle = pair(name, options, logits)
    logits.requires_grad_()
    loss(logits, target).backward()
    values, truth = logits.detach().double().numpy(), target.double().numpy()
    step, expected = 1e-4, np.zeros(values.shape)
    for place in np.ndindex(*values.shape):
        up, down = values.copy(), values.copy()
        up[place] += step
        down[place] -= step
        expected[place] = (oracle(up, truth) - oracle(down, truth)) / (2 * step)
    torch.testing.assert_close(logits.grad, torch.from_numpy(expected).float(), atol=1e-5, rtol=1e-4)
