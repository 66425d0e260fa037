"""Damaged checkpoints: the file is named, and no wrong weight is loaded."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from lightning_liver.data.slices import KEPT_AS
from lightning_liver.errors import LiverError
from lightning_liver.finetune.source import read_weights
from lightning_liver.runs.checkpoints import read_checkpoint, read_tensors, read_training

NORMALIZATION = {"window_hu": [-100.0, 200.0], "context": 0, "mean": 0.0, "std": 1.0}


def task() -> nn.Module:
    return nn.ModuleDict({"network": nn.Linear(3, 2)})


def content(**other: Any) -> dict[str, Any]:
    lists = {name: [] for name in ("optimizer_states", "lr_schedulers")}
    tables = {"loops": {}, "callbacks": {}, KEPT_AS: NORMALIZATION}
    own = {"pytorch-lightning_version": "2.6.0", "epoch": 1, "global_step": 8, "state_dict": task().state_dict()}
    return {**lists, **tables, **own, **other}


def saved(path: Path, what: Any) -> Path:
    torch.save(what, path)
    return path


def test_a_whole_checkpoint_is_read(tmp_path: Path) -> None:
    path = saved(tmp_path / "last.ckpt", content())
    assert read_training(path, task())["epoch"] == read_checkpoint(path)["epoch"] == 1


def test_a_flipped_bit_of_a_weight_is_seen(tmp_path: Path) -> None:
    """torch.load does not compare checksums: it returns another weight."""
    path = saved(tmp_path / "last.ckpt", content())
    data = bytearray(path.read_bytes())
    weights = torch.load(path, weights_only=True)["state_dict"]["network.weight"]
    place = data.index(weights.numpy().tobytes())
    data[place + 3] ^= 64
    path.write_bytes(data)
    assert not torch.equal(torch.load(path, weights_only=True)["state_dict"]["network.weight"], weights)
    for read in (read_checkpoint, read_tensors, read_weights):
        with pytest.raises(LiverError, match=r"last\.ckpt.* is damaged.*the checksum of .*data/0 is wrong"):
            read(path)


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ([1, 2], "not a checkpoint"),
        ({"state_dict": {}}, "it has no"),
        (content(state_dict={}), "of another run: network.weight has the shape None there"),
        (content(state_dict=[]), "it has no state_dict"),
        (
            content(state_dict={**task().state_dict(), "network.weight": torch.ones(3, 2)}),
            r"has the shape \(3, 2\) there",
        ),
        (content(state_dict={**task().state_dict(), "more": torch.ones(1)}), "more has the shape"),
        (content(**{KEPT_AS: {}}), "lacks the normalization"),
        (content(**{KEPT_AS: NORMALIZATION | {"std": float("nan")}}), "lacks the normalization"),
    ],
)
def test_a_checkpoint_of_another_kind_is_refused(what: Any, told: str, tmp_path: Path) -> None:
    path = saved(tmp_path / "last.ckpt", what)
    with pytest.raises(LiverError, match=told) as error:
        read_training(path, task())
    assert str(path) in str(error.value)


@pytest.mark.parametrize("damage", [b"", b"abc", b"PK\3\4", "cut"])
def test_a_damaged_file_is_named(damage: bytes | str, tmp_path: Path) -> None:
    path = saved(tmp_path / "last.ckpt", content())
    path.write_bytes(path.read_bytes()[:900] if isinstance(damage, str) else damage)
    with pytest.raises(LiverError, match=r"last\.ckpt is damaged"):
        read_training(path, task())
