"""Sums of losses and the schedules of their weights."""

from functools import partial
from typing import Any

import pytest
import torch

from lightning_liver.build import build
from lightning_liver.config import compose, folder, losses
from lightning_liver.errors import LiverError
from lightning_liver.losses import weighted
from lightning_liver.losses.weighted import Sum, sums_in
from lightning_liver.losses.weights import Progress, by_epoch, linear, ratio
from tests.losses.common import named, sample

SECOND = "loss/weight@loss.terms.second.weight"
FOCAL_AND_HAUSDORFF = ["loss@loss.terms.first.loss=focal", "loss@loss.terms.second.loss=hausdorff"]


def composed(*overrides: str) -> Any:
    return build(compose("train", list(overrides)).loss)


@pytest.mark.parametrize("epoch", [0, 1, 37, 99, 150])
def test_dice_boundary_is_alpha_times_generalised_dice_and_the_rest_boundary(epoch: int) -> None:
    """Alpha falls from 1 by 0.01 after each epoch and stays at 0.01: Kervadec et al. 2019."""
    alpha = 1.0
    for _ in range(epoch):
        alpha = max(alpha - 0.01, 0.01)
    loss = composed("loss=dice_boundary")
    loss.at(epoch, 0.5)
    logits, target = sample(0)
    expected = alpha * named("generalised_dice")(logits, target) + (1 - alpha) * named("boundary")(logits, target)
    torch.testing.assert_close(loss(logits, target), expected)


def test_dice_hausdorff_weighs_dice_by_the_ratio_of_the_means_of_the_epoch_before() -> None:
    """Hausdorff + lambda Dice, lambda the ratio of their means: Karimi and Salcudean 2019."""
    loss, batches = composed("loss=dice_hausdorff"), [sample(seed) for seed in range(3)]
    hausdorff, dice = ([named(name)(*each).item() for each in batches] for name in ("hausdorff", "dice"))
    factor = 1.0
    for epoch in range(2):
        loss.begin_epoch()
        for (logits, target), far, overlap in zip(batches, hausdorff, dice, strict=True):
            loss.at(epoch, 0.0)
            assert loss(logits, target).item() == pytest.approx(far + factor * overlap, rel=1e-5)
        loss.end_epoch()
        factor = sum(hausdorff) / sum(dice)
    loss.at(2, 0.0)
    assert loss.weights["dice"] * loss.means["dice"] == pytest.approx(loss.means["hausdorff"], rel=1e-5)


def test_means_are_of_training_alone() -> None:
    loss = composed("loss=dice_hausdorff")
    loss.eval()
    loss(*sample(0))
    loss.end_epoch()
    assert loss.means == {}
    loss.train()
    loss(*sample(0))
    loss.begin_epoch()  # as after the trial on an empty image
    loss.end_epoch()
    assert loss.means == {}


def test_means_of_several_processes_are_added_up_first() -> None:
    loss = composed("loss=sum")
    loss(*sample(0))
    other = torch.tensor([3.0, 5.0, 1.0])
    first = named("dice")(*sample(0)).item()
    loss.end_epoch(lambda sums: sums + other)
    assert loss.means["first"] == pytest.approx((first + 3) / 2)


def test_linear_weight_moves_from_start_to_end() -> None:
    weights = [linear(Progress(7, fraction, {}), start=0.2, end=1.0) for fraction in (0.0, 0.25, 1.0)]
    assert weights == pytest.approx([0.2, 0.4, 1.0])
    assert linear(Progress(0, 0.5, {}), start=1.0, end=0.0) == 0.5


def test_weight_by_epoch_stays_at_its_end_in_both_directions() -> None:
    rising = [by_epoch(Progress(epoch, 0.0, {}), start=0.0, end=0.25, step=0.1) for epoch in range(5)]
    falling = [by_epoch(Progress(epoch, 0.0, {}), start=1.0, end=0.75, step=0.1) for epoch in range(5)]
    assert rising == pytest.approx([0, 0.1, 0.2, 0.25, 0.25])
    assert falling == pytest.approx([1 - weight for weight in rising])


def test_ratio_to_a_term_learnt_perfectly_is_finite() -> None:
    assert ratio(Progress(1, 0.0, {"a": 2.0, "b": 0.0}), of="a", over="b", first=1.0) == pytest.approx(2e6)


@pytest.mark.parametrize(
    ("overrides", "terms"),
    [
        ([], {"dice": 1.0, "boundary": 1.0}),
        (
            [*FOCAL_AND_HAUSDORFF, "loss.terms.second.weight=0.1"],
            {"focal": 1.0, "hausdorff": 0.1},
        ),
        (["+loss@loss.terms.third.loss=bce", "+loss.terms.third.weight=2"], {"dice": 1.0, "boundary": 1.0, "bce": 2.0}),
        ([f"+{SECOND}=linear", "loss.terms.second.weight.end=0.5"], {"dice": 1.0, "boundary": 0.25}),
    ],
    ids=["default", "pair", "third", "schedule"],
)
def test_config_adds_up_any_losses(overrides: list[str], terms: dict[str, float]) -> None:
    loss, (logits, target) = composed("loss=sum", *overrides), sample(1)
    loss.at(0, 0.5)
    expected = sum(weight * named(name)(logits, target) for name, weight in terms.items())
    torch.testing.assert_close(loss(logits, target), expected)


def test_budget_of_any_length_takes_dice_boundary_from_end_to_end() -> None:
    """The command in the yaml's header."""
    [line] = [each for each in (folder() / "loss" / "dice_boundary.yaml").read_text().splitlines() if "python" in each]
    loss = composed(*line.partition("train.py ")[2].split())
    ends = []
    for fraction in (0.0, 1.0):
        loss.at(0, fraction)
        ends.append(loss.weights)
    assert ends == [{"region": 1.0, "boundary": 0.0}, {"region": 0.01, "boundary": 0.99}]


def test_distance_maps_are_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    loss, (logits, target) = composed("loss=sum", "loss@loss.terms.first.loss=hausdorff"), sample(2)
    expected, calls, compute = loss(logits, target), [], weighted.signed_distance
    monkeypatch.setattr(weighted, "signed_distance", lambda masks: calls.append(1) or compute(masks))
    torch.testing.assert_close(loss(logits, target), expected)
    torch.testing.assert_close(loss(logits, target, distance=compute(target)), expected)
    assert len(calls) == 1


def test_state_of_a_sum_comes_back() -> None:
    loss, again = composed("loss=dice_hausdorff"), composed("loss=dice_hausdorff")
    loss(*sample(3))
    loss.end_epoch()
    loss.at(1, 0.5)
    again.load_state_dict(loss.state_dict())
    assert (again.weights, again.means) == (loss.weights, loss.means)
    again.at(1, 0.5)
    assert again.weights == loss.weights


def test_deep_supervision_wraps_a_sum() -> None:
    loss, (logits, target) = composed("loss=deep_supervision", "loss@loss.loss=dice_boundary"), sample(4, (2, 2, 8, 6))
    [inner] = sums_in(loss)
    inner.at(50, 0.0)
    levels = [logits[..., ::2, ::2], logits]
    parts = {
        name: build(compose("train", ["loss=deep_supervision", f"loss@loss.loss={name}"]).loss)(levels, target)
        for name in ("generalised_dice", "boundary")
    }
    torch.testing.assert_close(loss(levels, target), 0.5 * parts["generalised_dice"] + 0.5 * parts["boundary"])


def test_sums_are_not_measured_beside_the_losses_that_they_add_up() -> None:
    assert not {"sum", "dice_boundary", "dice_hausdorff"} & set(losses())


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["loss.terms.second.weight=-1"], r"loss\.terms\.second\.weight=-1: expected a value greater"),
        (["loss.terms.second.weight=many"], r"loss\.terms\.second\.weight='many': expected"),
        (["loss.terms.first.loss.smooth=0"], r"loss\.terms\.first\.loss\.smooth=0: expected a value greater"),
        ([f"+{SECOND}=linear", "loss.terms.second.weight.end=-1"], r"loss\.terms\.second\.weight\.end=-1: expected"),
        ([f"+{SECOND}=ratio", "loss.terms.second.weight.of=far"], r"no term 'far'; expected one of first, second"),
        (["loss.terms.first.weight=0", "loss.terms.second.weight=0"], "expected a weight above 0"),
        (["+loss.terms.third.weight=1"], r"loss\.terms\.third: expected a loss and a weight"),
        (["~loss.terms.first.weight"], r"loss\.terms\.first: expected a loss and a weight"),
        (["loss@loss.terms.first.loss=dice_boundary"], r"loss\.terms\.first\.loss: expected a loss that is no sum"),
        (["loss.terms.first.loss=3"], r"loss\.terms\.first\.loss=3: expected a loss"),
    ],
)
def test_invalid_term_is_named(overrides: list[str], message: str) -> None:
    with pytest.raises(LiverError, match=message):
        composed("loss=sum", *overrides)


def test_sum_of_nothing_is_refused() -> None:
    with pytest.raises(LiverError, match="expected at least one term"):
        Sum(terms={})


def test_plain_losses_have_no_sums() -> None:
    assert sums_in(partial(named("dice"))) == []
