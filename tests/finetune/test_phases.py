"""Who trains when, and how fast."""

from functools import partial

import pytest
import torch
from torch.optim import SGD, AdamW

from lightning_liver.errors import LiverError
from lightning_liver.finetune.freezing import add_group, by_unfreeze_epoch, freeze, from_the_top, frozen_for
from lightning_liver.finetune.parts import parts, select
from lightning_liver.finetune.rates import group, groups, scales
from lightning_liver.models.unet import UNet
from lightning_liver.training.schedules import polynomial
from tests.finetune.tiny import Task, Tiny, batch

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
