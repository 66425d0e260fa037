import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from lightning_liver.models.unet import UNet
from lightning_liver.training import memory_format
from lightning_liver.training.memory_format import choose_memory_format
from tests.training.test_run_state import OPTIONS

SETTLED = replace(OPTIONS, precision="32-true", threads=1)
SHAPE = (2, 1, 32, 32)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "lightning_liver" / "layout.json"


def network() -> UNet:
    torch.manual_seed(0)
    return UNet(in_channels=1, classes=2, base_channels=4, depth=2, norm="batch", dropout=0.2)


def lies_side_by_side(made: nn.Module) -> bool:
    weights = [p for p in made.parameters() if p.ndim == 4 and min(p.shape) > 1]
    return all(p.is_contiguous(memory_format=torch.channels_last) for p in weights)


def pretend(monkeypatch: pytest.MonkeyPatch, *, last_s: float, plain_s: float) -> list[bool]:
    timed: list[bool] = []

    def seconds(made: nn.Module, images: torch.Tensor, precision: str) -> float:
        timed.append(lies_side_by_side(made))
        return last_s if timed[-1] else plain_s

    monkeypatch.setattr(memory_format, "_seconds", seconds)
    return timed


@pytest.mark.parametrize(("last_s", "expected"), [(0.8, True), (0.97, False), (1.2, False)])
def test_the_quicker_layout_is_taken_and_remembered(
    last_s: float, expected: bool, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed = pretend(monkeypatch, last_s=last_s, plain_s=1.0)
    made = network()
    assert choose_memory_format(made, SETTLED, SHAPE) == expected
    assert lies_side_by_side(made) == expected
    assert sorted(set(timed)) == [False, True]
    count = len(timed)
    assert choose_memory_format(network(), SETTLED, SHAPE) == expected
    assert len(timed) == count, "remembered"
    choose_memory_format(network(), SETTLED, (4, *SHAPE[1:]))
    choose_memory_format(network(), replace(SETTLED, threads=2), SHAPE)
    choose_memory_format(
        UNet(in_channels=1, classes=2, base_channels=8, depth=2, norm="batch", dropout=0.2), SETTLED, SHAPE
    )
    assert len(timed) == 4 * count, "another batch, another number of threads, another network"
    assert list(json.loads(home.read_text()).values()) == [last_s] * 4


@pytest.mark.parametrize("typed", [True, False])
def test_what_is_typed_wins_and_nothing_is_timed(typed: bool, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    timed = pretend(monkeypatch, last_s=2.0 - typed, plain_s=1.0 + typed)
    made = network()
    assert choose_memory_format(made, replace(SETTLED, channels_last=typed), SHAPE) == typed
    assert lies_side_by_side(made) == typed
    assert not timed
    assert not home.exists()


def test_timing_leaves_network_generator_and_threads_as_they_were(home: Path) -> None:
    made, before = network(), network().state_dict()
    torch.manual_seed(1)
    expected, threads = torch.get_rng_state(), torch.get_num_threads()
    choose_memory_format(made, SETTLED, SHAPE)
    assert all(torch.equal(value, before[name]) for name, value in made.state_dict().items())
    assert all(p.grad is None for p in made.parameters())
    assert torch.equal(torch.get_rng_state(), expected)
    assert torch.get_num_threads() == threads
    (ratio,) = json.loads(home.read_text()).values()
    assert 0.01 < ratio < 100


def test_a_home_that_cannot_be_written_to_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    pretend(monkeypatch, last_s=0.5, plain_s=1.0)
    assert choose_memory_format(network(), SETTLED, SHAPE)


def test_a_damaged_memory_is_written_anew(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home.parent.mkdir()
    home.write_text("{")
    pretend(monkeypatch, last_s=0.5, plain_s=1.0)
    assert choose_memory_format(network(), SETTLED, SHAPE)
    assert list(json.loads(home.read_text()).values()) == [0.5]
