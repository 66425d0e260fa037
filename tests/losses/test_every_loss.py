"""Rules for every loss of conf/loss."""

import inspect
import math
import re
from functools import partial
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import pytest
import torch

from lightning_liver import losses as package
from lightning_liver.errors import LiverError
from lightning_liver.losses import distance as distances
from lightning_liver.losses.checks import as_float32
from lightning_liver.losses.distance import signed_distance
from tests.losses.common import YAMLS, Loss, build, every_loss, options_of, sample, target_like

CITATION = re.compile(r"arXiv:\d{4}\.\d{4,5}|doi:10\.\S*\w")

foregrounds = pytest.mark.parametrize("foreground", ["empty", "full", "0.1 %"])
precisions = pytest.mark.parametrize("precision", [torch.float32, torch.float16, torch.bfloat16], ids=str)


def function(loss: Loss) -> Loss:
    return loss.func if isinstance(loss, partial) else loss


def takes_distance(path: Path) -> bool:
    return "distance" in inspect.signature(function(build(path))).parameters


with_distance = pytest.mark.parametrize("path", [p for p in YAMLS if takes_distance(p)], ids=lambda path: path.stem)


def test_every_loss_function_has_a_yaml_of_its_name_and_every_yaml_a_function() -> None:
    modules = [import_module(f"{package.__name__}.{found.name}") for found in iter_modules(package.__path__)]
    functions = {
        name
        for module in modules
        for name, value in vars(module).items()
        if inspect.isfunction(value)
        and value.__module__ == module.__name__
        and "class_weights" in inspect.signature(value).parameters
        and "logits" in inspect.signature(value).parameters
    }
    assert functions == {function(build(path)).__name__ for path in YAMLS} == {path.stem for path in YAMLS}


@every_loss
def test_docstring_cites_its_source_and_the_config_no_other(path: Path) -> None:
    text = function(build(path)).__doc__ or ""
    _, _, source = text.partition("Source:")
    assert CITATION.search(source)
    assert set(CITATION.findall(path.read_text())) <= set(CITATION.findall(text))
    for survey in re.finditer(r"arXiv:2006\.14822,\s+(.{12})", text):
        assert re.match(r"section II-[A-O]", survey[1])


@every_loss
@foregrounds
@precisions
def test_perfect_prediction_costs_almost_nothing(path: Path, foreground: str, precision: torch.dtype) -> None:
    target = target_like(foreground, (1, 2, 512, 512))
    cost = build(path)((40 * target.float() - 20).to(precision), target)
    assert -1e-6 < cost.item() < 1e-3


@every_loss
@foregrounds
@precisions
@pytest.mark.parametrize("scale", [1.0, 1e4], ids=["plain", "saturated"])
def test_gradients_are_finite(path: Path, foreground: str, precision: torch.dtype, scale: float) -> None:
    side = 512 if precision == torch.float16 else 96  # a sum over 512x512 is too large for float16
    shape = (1, 2, side, side)
    logits = (scale * torch.randn(shape, generator=torch.Generator().manual_seed(0))).to(precision).requires_grad_()
    cost = build(path)(logits, target_like(foreground, shape))
    cost.backward()
    assert cost.dtype == torch.float32
    assert math.isfinite(cost.item())
    assert torch.isfinite(logits.grad).all()


@every_loss
@foregrounds
def test_gradients_are_finite_at_perfect(path: Path, foreground: str) -> None:
    """Roots and deviations are of 0 there."""
    target = target_like(foreground, (1, 2, 64, 64))
    for size in (20.0, 1000.0):
        logits = (2 * size * target.float() - size).requires_grad_()
        build(path)(logits, target).backward()
        assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("path", [p for p in YAMLS if "smooth" in options_of(p)], ids=lambda path: path.stem)
@foregrounds
@pytest.mark.parametrize("size", [-1000.0, -20.0, 20.0, 1000.0])
def test_gradients_are_finite_with_the_least_smoothing(path: Path, foreground: str, size: float) -> None:
    target = target_like(foreground, (1, 2, 64, 64))
    logits = (2 * size * target.float() - size).requires_grad_()
    cost = build(path, smooth=1e-6)(logits, target)
    cost.backward()
    assert math.isfinite(cost.item())
    assert torch.isfinite(logits.grad).all()


@every_loss
def test_worse_prediction_costs_more(path: Path) -> None:
    _, target = sample(2)
    right = 8 * target - 4
    costs = [build(path)(logits, target).item() for logits in (right, 0 * right, -right)]
    assert costs == sorted(costs)
    assert costs[0] < costs[1] < costs[2]


@every_loss
@pytest.mark.parametrize("shape", [(2, 1, 5, 7), (1, 2, 5, 7), (2, 2, 7, 5), (2, 2, 1, 1)])
@pytest.mark.usefixtures("unchecked")
def test_unequal_shapes_are_refused_rather_than_broadcast(path: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(LiverError, match="shape"):
        build(path)(torch.zeros(2, 2, 5, 7), torch.zeros(shape))


def test_message_about_unequal_shapes_names_both() -> None:
    with pytest.raises(LiverError, match=r"\(2, 1, 5, 7\) but the target \(2, 2, 5, 7\)"):
        as_float32(torch.zeros(2, 1, 5, 7), torch.zeros(2, 2, 5, 7))


@every_loss
def test_integer_and_boolean_targets_have_the_loss_of_float_targets(path: Path) -> None:
    logits, target = sample(3)
    costs = {build(path)(logits, target.to(kind)).item() for kind in (torch.float32, torch.uint8, torch.bool)}
    assert len(costs) == 1


@every_loss
def test_autocast_does_not_lower_the_precision(path: Path) -> None:
    logits, target = sample(4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cost = build(path)(logits, target)
    assert torch.equal(cost, build(path)(logits, target))


@every_loss
def test_order_of_slices_and_pixels_does_not_matter(path: Path) -> None:
    logits, target = sample(5)
    turned = build(path)(logits.flip(0, 2, 3), target.flip(0, 2, 3))
    torch.testing.assert_close(turned, build(path)(logits, target))


@every_loss
def test_class_weights_weigh_the_mean_of_classes(path: Path) -> None:
    logits, target = sample(6)
    liver, tumour = (build(path, class_weights=weights)(logits, target) for weights in ([1, 0], [0, 1]))
    assert abs(liver - tumour) > 1e-3
    mixed = build(path, class_weights=[1.5, 0.5])(logits, target)
    torch.testing.assert_close(mixed, 0.75 * liver + 0.25 * tumour)
    torch.testing.assert_close(build(path, class_weights=None)(logits, target), (liver + tumour) / 2)


@every_loss
def test_equal_class_weights_of_any_size_change_nothing(path: Path) -> None:
    logits, target = sample(11)
    torch.testing.assert_close(build(path, class_weights=[3, 3])(logits, target), build(path)(logits, target))


@every_loss
def test_class_of_weight_0_has_no_gradient(path: Path) -> None:
    logits, target = sample(7)
    logits.requires_grad_()
    build(path, class_weights=[0, 3])(logits, target).backward()
    assert not logits.grad[:, 0].any()
    assert logits.grad[:, 1].any()


@every_loss
@pytest.mark.parametrize("weights", [[1.0], [1, 2, 3], [1, -1], [0, 0], [1, math.inf], [1, math.nan], 2.0, "ab"])
def test_invalid_class_weights_are_named(path: Path, weights: Any) -> None:
    with pytest.raises(LiverError, match=r"loss\.class_weights=.*: expected"):
        build(path, class_weights=weights)(*sample(8))


@with_distance
def test_given_distance_maps_change_nothing(path: Path) -> None:
    logits, target = sample(9)
    given = build(path)(logits, target, distance=signed_distance(target))
    assert torch.equal(given, build(path)(logits, target))


@with_distance
def test_given_distance_maps_are_used_and_none_is_computed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logits, target = sample(12, (2, 2, 9, 7))
    absent, other = build(path)(logits, target), signed_distance(1 - target.flip(3))
    monkeypatch.setattr(distances, "signed_distance", None)
    assert not torch.isclose(build(path)(logits, target, distance=other), absent, rtol=1e-3)


@with_distance
@pytest.mark.parametrize("precision", [torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_distance_maps_of_any_precision_have_no_gradient(path: Path, precision: torch.dtype) -> None:
    logits, target = sample(13)
    logits.requires_grad_()
    given = signed_distance(target).to(precision).requires_grad_()
    cost = build(path)(logits, target, distance=given)
    cost.backward()
    assert cost.dtype == torch.float32
    assert given.grad is None
    assert logits.grad.any()


@with_distance
@pytest.mark.usefixtures("unchecked")
def test_distance_maps_of_another_target_are_refused(path: Path) -> None:
    logits, target = sample(10)
    with pytest.raises(LiverError, match=r"\(1, 2, 5, 7\) but the target \(2, 2, 5, 7\)"):
        build(path)(logits, target, distance=signed_distance(target[:1]))


@every_loss
def test_options_have_their_defaults_in_the_config_alone(path: Path) -> None:
    parameters = inspect.signature(function(build(path))).parameters.values()
    named = {each.name for each in parameters if each.kind is each.KEYWORD_ONLY}
    assert named - {"distance"} == set(options_of(path))
    assert {each.name for each in parameters if each.default is not each.empty} <= {"distance"}
