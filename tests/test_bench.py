from pathlib import Path

import pytest
import torch
from torch import nn

from experiments.speed import ours, peers, policies, roofline, rounds, training, waiting
from experiments.speed.contender import TRANSFORMS
from experiments.speed.scans import scan
from experiments.speed.step import Setup

STUDY = Path(__file__).parents[1] / "experiments" / "speed"
CONF = Path(__file__).parents[1] / "conf" / "augment"
BEGIN, END = "<!-- augmentation -->", "<!-- /augmentation -->"
MATRIX = 64


def test_every_policy_has_a_row() -> None:
    rows = policies.policy_rows([MATRIX], rounds=1, batches=1)
    assert [row["policy"] for row in rows] == sorted(path.stem for path in CONF.glob("*.yaml"))
    assert all(float(row[f"{MATRIX} ms"] or 0) > 0 for row in rows)


def test_limits_tell_quick_from_slow() -> None:
    lines = policies.limits([{"policy": "perlin", "512 ms": 2.9}, {"policy": "elastic", "512 ms": 3.1}], 512)
    assert [line.split()[-1] for line in lines] == ["pass", "FAIL"]


def test_our_set_does_all_that_it_is_timed_for() -> None:
    given = scan(MATRIX)
    contenders = [ours.contender(given), ours.to_tensor(given)]
    assert [row["transform"] for row in peers.change_rows(contenders)] == [*TRANSFORMS, "all five"]
    rows = peers.speed_rows(contenders, rounds=2, calls=1)
    assert rows[0]["ours is x times as quick"] == 1
    assert "pass" in peers.verdict([rows[0], {**rows[1], "ours is x times as quick": 2.0}], ["ours, to tensor"])


@pytest.mark.parametrize("library", ["monai", "batchgenerators"])
def test_peers_do_all_that_they_are_timed_for(library: str) -> None:
    pytest.importorskip("batchgeneratorsv2" if library == "batchgenerators" else library)
    module = pytest.importorskip(f"experiments.speed.{library}_set")
    assert len(peers.change_rows([module.contender(scan(MATRIX))])) == len(TRANSFORMS) + 1


def test_a_set_that_does_nothing_is_refused() -> None:
    given = ours.contender(scan(MATRIX))
    idle = peers.Contender("idle", lambda names: given.pipeline([]), given.arrays)
    with pytest.raises(RuntimeError, match="idle: rotation, scale changes the image by 0 only"):
        peers.change_rows([idle])


def test_rounds_go_through_all_with_the_same_seeds() -> None:
    seen: list[tuple[str, int]] = []
    work = {name: lambda seed, name=name: seen.append((name, seed)) for name in "ab"}
    taken = rounds.seconds_a_call(work, rounds=2, calls=2)
    assert "".join(name for name, _ in seen) == "aabb" + "bbaa" + "aabb"
    assert [seed for _, seed in seen] == [0, 1] * 6
    assert {name: len(times) for name, times in taken.items()} == {"a": 2, "b": 2}
    assert rounds.middle_and_range([3.0, 1.0, 2.0], 1) == (2.0, "1.0-3.0")


def test_waiting_is_judged_by_the_policy_asked_about() -> None:
    rows = [{"augment": "none", "waits, %": 9.0}, {"augment": "all", "waits, %": 2.5}]
    assert waiting.verdict(rows) == "augment=all: waits 2.50%, target < 3%: pass"


def test_readme_has_a_place_for_the_tables() -> None:
    text = (STUDY / "README.md").read_text()
    assert text.count(BEGIN) == text.count(END) == 1
    assert text.index(BEGIN) < text.index(END)


def test_steps_are_timed_and_judged_as_ratios_of_a_round() -> None:
    setup = Setup.of(
        "trainer=cpu", "model=unet_small", "model.base_channels=4", "data.loaders=0", matrix=32, cases=3, steps=2
    )
    taken = training.times(setup, 1)
    assert [row["step"] for row in training.rows(taken, 8)] == [*taken]
    assert all(seconds > 0 for of_round in taken.values() for seconds in of_round)
    given = {
        training.BARE: [1.0, 2.0],
        training.MEMORY: [1.02, 2.04],
        training.STORE: [1.02, 2.04],
        training.FLOAT32: [1.5, 3.0],
    }
    assert [line.split()[-1] for line in training.ratios(given)] == ["pass", "pass", "FAIL"]


def test_a_network_is_never_quicker_than_its_layers_must_be() -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 1))
    passes = roofline.layers(network, torch.zeros(2, 1, 8, 8), element=2)
    pixels = 2 * 8 * 8
    # the first convolution has no gradient to the images: two passes, the second has three
    assert sum(layer.flops for layer in passes) == 2 * pixels * (2 * 4 * 9 + 3 * 8)
    first = passes[0]
    assert first.moved == 2 * (pixels + 4 * 9 + 4 * pixels)
    assert first.seconds(1e9, 1.0) == first.moved
    assert first.seconds(1.0, 1e9) == first.flops
