"""Who trains when, and how fast."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from lightning_liver.errors import LiverError
from lightning_liver.finetune.freezing import add_group, by_unfreeze_epoch, freeze, from_the_top, frozen_for
from lightning_liver.finetune.parts import parts, select
from lightning_liver.finetune.rates import group, groups, scales
from lightning_liver.finetune.strategy import Phases, Strategy
from lightning_liver.finetune.terms import conservation_weights
from lightning_liver.models.unet import UNet
from lightning_liver.training.schedules import polynomial
from tests.finetune.tiny import Task, Tiny, batch, start

NETWORK = Tiny()
NAMES = ["encoder.0", "encoder.1", "decoder.0", "head"]


def test_parts_of_the_u_net_go_from_the_image_to_the_logits() -> None:
    network = UNet(in_channels=1, classes=2, base_channels=2, depth=2, norm="batch", dropout=0.0)
    assert list(parts(network)) == ["encoder.0", "encoder.1", "encoder.2", "decoder.0", "decoder.1", "head"]
    counted = sum(p.numel() for part in parts(network).values() for p in part.parameters())
    assert counted == sum(p.numel() for p in network.parameters())


def test_parts_are_chosen_by_number_or_by_name() -> None:
    assert select(NAMES, 2, option="x") == ["encoder.0", "encoder.1"]
    assert select(NAMES, ["head", "encoder.*"], option="x") == ["encoder.0", "encoder.1", "head"]
    for wrong in (0, 5, ["decoder.1"]):
        with pytest.raises(LiverError, match="head"):
            select(NAMES, wrong, option="finetune.frozen")


def test_gradual_thawing_goes_from_the_logits_to_the_image() -> None:
    thaw = from_the_top(NAMES, every=2, at_once=1)
    assert list(thaw) == NAMES
    assert thaw == {"head": 0, "decoder.0": 2, "encoder.1": 4, "encoder.0": 6}
    assert from_the_top(NAMES, every=1, at_once=3) == {"head": 0, "decoder.0": 0, "encoder.1": 0, "encoder.0": 1}
    assert by_unfreeze_epoch(thaw) == ["head", "decoder.0", "encoder.1", "encoder.0"]


def test_freezing_for_good_or_for_some_epochs() -> None:
    assert frozen_for(NAMES, 2, epochs=None)["encoder.1"] == float("inf")
    assert frozen_for(NAMES, ["head"], epochs=3) == {"encoder.0": 0, "encoder.1": 0, "decoder.0": 0, "head": 3}
    with pytest.raises(LiverError, match="freezes every part"):
        frozen_for(NAMES, ["*"], epochs=None)


def test_rates_fall_with_depth() -> None:
    assert scales(NAMES, scale=0.5, decay=0.1) == pytest.approx(
        {"head": 0.5, "decoder.0": 0.05, "encoder.1": 0.005, "encoder.0": 0.0005}
    )


def test_frozen_parts_change_by_no_bit_and_their_statistics_stand_still() -> None:
    network = Tiny().train()
    freeze(network, {"encoder.0"})
    before = {name: value.clone() for name, value in network.state_dict().items()}
    optimizer = AdamW([p for p in network.parameters() if p.requires_grad], lr=0.1, weight_decay=0.1)
    for seed in range(5):
        optimizer.zero_grad()
        network(batch(seed=seed)["image"]).square().mean().backward()
        optimizer.step()
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]) == name.startswith("encoder.0"), name


def test_groups_show_only_what_trains() -> None:
    network = Tiny()
    freeze(network, {"encoder.0"})
    task = Task(network)
    task.parameters = network.parameters  # type: ignore[attr-defined]
    made = groups(task, scales(list(parts(network)), scale=1.0, decay=0.5), ["head", "encoder.1", "encoder.0"])
    assert [(g["name"], g["scale"]) for g in made] == [("head", 1.0), ("encoder.1", 0.5)]
    assert all(p.requires_grad for g in made for p in g["params"])


def tuned(terms: dict[str, Any], optimizer: Callable[..., Optimizer]) -> tuple[Optimizer, Phases]:
    """Optimizer of a strategy on the tiny network, whose encoder unfreezes after the first epoch."""
    options = {"unfreeze_every": None, "frozen": ["encoder.0"], "frozen_epochs": 1, "unfreeze_at_once": 1}
    options |= {"source": "run", "copied": None, "lr_scale": 0.1, "lr_decay": 1.0, "source_data": None}
    phases = Strategy(**options, target_root=None, pretrain=None, source_optional=False, terms=terms).phases(NETWORK)
    task = nn.Module()
    task.network, task.head = NETWORK, nn.Linear(2, 2)
    return optimizer(phases.groups(task), weight_decay=0.01), phases


@pytest.mark.parametrize("optimizer", [partial(AdamW, lr=0.1), partial(SGD, lr=0.1)], ids=["adamw", "sgd"])
def test_decay_towards_the_source_takes_the_place_of_weight_decay(optimizer: Callable[..., Optimizer]) -> None:
    """In all parts of the network, those that unfreeze later too, and in no second head."""
    l2_sp = partial(conservation_weights, alpha=0.1, beta=0.01)
    for terms, expected in (({"l2": l2_sp}, 0.0), ({}, 0.01)):
        made, phases = tuned(terms, optimizer)
        [freezing] = phases.callbacks
        freeze(NETWORK, set())
        made.add_param_group(freezing.group(parts(NETWORK)["encoder.0"], "encoder.0"))
        decay = {group["name"]: group["weight_decay"] for group in made.param_groups}
        assert decay == dict.fromkeys(("head", "encoder.1", "encoder.0"), expected) | {"terms": 0.01}


def test_weights_at_the_source_stand_still_without_a_gradient() -> None:
    """With weight decay they would shrink."""
    before = {name: value.clone() for name, value in NETWORK.named_parameters()}
    made, _ = tuned({"l2": partial(conservation_weights, alpha=0.1, beta=0.0)}, partial(AdamW, lr=0.1))
    term = conservation_weights(alpha=0.1, beta=0.0, start=start(NETWORK))
    made.zero_grad()
    term(Task(NETWORK), {}, None).backward()
    made.step()
    assert all(torch.equal(value, before[name]) for name, value in NETWORK.named_parameters())


def test_a_part_that_unfreezes_follows_the_schedule_from_where_it_is() -> None:
    network = Tiny()
    known = parts(network)
    optimizer = SGD([group(known["head"], "head", 1.0)], lr=0.4)
    scheduler = partial(polynomial, warmup_steps=0, power=1.0)(optimizer, lambda: 10.0)
    for _ in range(5):
        optimizer.step()
        scheduler.step()
    add_group(optimizer, scheduler, group(known["encoder.1"], "encoder.1", 0.5))
    assert [g["lr"] for g in optimizer.param_groups] == pytest.approx([0.2, 0.1])
    optimizer.step()
    scheduler.step()
    assert [g["lr"] for g in optimizer.param_groups] == pytest.approx([0.16, 0.08])
