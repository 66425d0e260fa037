from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate

from lightning_liver.build import build as checked
from lightning_liver.config import compose
from lightning_liver.errors import LiverError
from lightning_liver.losses.deep import deep_supervision
from tests.losses.common import build, every_loss, named, sample, target_like


@every_loss
def test_any_loss_is_supervised_at_every_level(path: Path) -> None:
    logits, target = sample(0, (2, 2, 12, 8))
    levels = [logits[..., ::4, ::4].clone().requires_grad_(), logits[..., ::2, ::2], logits]
    cost = deep_supervision(levels, target, loss=build(path), decay=0.5)
    parts = [
        build(path)(level, target[..., step // 2 :: step, step // 2 :: step])
        for level, step in zip(levels, (4, 2, 1), strict=True)
    ]
    torch.testing.assert_close(cost, (0.25 * parts[0] + 0.5 * parts[1] + parts[2]) / 1.75)
    cost.backward()
    assert levels[0].grad.any()


@every_loss
@pytest.mark.parametrize("foreground", ["empty", "full", "0.1 %"])
def test_perfect_levels_in_half_precision_cost_almost_nothing_and_have_gradients(path: Path, foreground: str) -> None:
    target = target_like(foreground, (1, 2, 256, 256))
    levels = [
        (40.0 * target[..., step // 2 :: step, step // 2 :: step] - 20).half().requires_grad_() for step in (4, 2, 1)
    ]
    cost = deep_supervision(levels, target, loss=build(path), decay=0.5)
    assert cost.dtype == torch.float32
    assert -1e-6 < cost.item() < 1e-3
    cost.backward()
    assert all(torch.isfinite(level.grad).all() for level in levels)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("shape", [(1, 2, 2, 3), (2, 1, 2, 3)])
def test_coarse_level_of_another_batch_or_class_is_refused(shape: tuple[int, ...]) -> None:
    logits, target = sample(7)
    with pytest.raises(LiverError, match="shape"):
        deep_supervision([torch.zeros(shape), logits], target, loss=named("dice"), decay=0.5)


@pytest.mark.parametrize("decay", [0.0, 0.5, 1.0])
def test_one_level_is_the_loss_alone(decay: float) -> None:
    logits, target = sample(1)
    alone = named("focal")(logits, target)
    for given in (logits, [logits]):
        torch.testing.assert_close(deep_supervision(given, target, loss=named("focal"), decay=decay), alone)


def test_decay_0_is_the_finest_level() -> None:
    logits, target = sample(2)
    cost = deep_supervision([logits[..., ::2, ::2], logits], target, loss=named("dice"), decay=0.0)
    torch.testing.assert_close(cost, named("dice")(logits, target))


@pytest.mark.usefixtures("unchecked")
def test_finest_level_must_have_the_size_of_the_target() -> None:
    logits, target = sample(3)
    with pytest.raises(LiverError, match=r"\(2, 2, 3, 4\) but the target \(2, 2, 5, 7\)"):
        deep_supervision([logits, logits[..., ::2, ::2]], target, loss=named("dice"), decay=0.5)


@pytest.mark.parametrize("decay", [-0.1, 1.1])
def test_decay_out_of_range_is_named(decay: float) -> None:
    with pytest.raises(LiverError, match=rf"loss\.decay={decay}: expected"):
        checked(compose("train", ["loss=deep_supervision", f"loss.decay={decay}"]).loss)


def test_option_of_the_inner_loss_is_named() -> None:
    with pytest.raises(LiverError, match=r"loss\.loss\.smooth=0: expected"):
        checked(compose("train", ["loss=deep_supervision", "loss.loss.smooth=0"]).loss)


def test_empty_list_of_logits_is_refused() -> None:
    with pytest.raises(LiverError, match="no output"):
        deep_supervision([], sample(5)[1], loss=named("dice"), decay=0.5)


@pytest.mark.parametrize(
    ("overrides", "inner"),
    [([], "dice_bce"), (["loss@loss.loss=tversky"], "tversky"), (["loss@loss.loss=focal"], "focal")],
)
def test_config_wraps_any_loss(overrides: list[str], inner: str) -> None:
    logits, target = sample(6)
    made = instantiate(compose("train", ["loss=deep_supervision", *overrides]).loss, _convert_="all")
    torch.testing.assert_close(made(logits, target), named(inner)(logits, target))
