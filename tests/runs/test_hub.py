"""Folders of liver-export format=hub come from strangers: what they name is built only if it is known."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from lightning_liver.build import build
from lightning_liver.config import compose
from lightning_liver.data.slices import Normalization
from lightning_liver.errors import LiverError
from lightning_liver.inference.network import TrainedNetwork
from lightning_liver.inference.postprocess import PostProcess
from lightning_liver.runs.facts import exported_config
from lightning_liver.runs.hub import BUILT, CONFIG, WEIGHTS, is_hub
from lightning_liver.runs.trained import read_run

SMALL = ("model.base_channels=4", "model.depth=2")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as liver-export writes it."""
    folder = tmp_path_factory.mktemp("hub")
    cfg = compose("train", ["data=lits", "data.root=/data/lits", *SMALL])
    network = build(cfg.model)
    trained = TrainedNetwork(network, Normalization((-160.0, 240.0), 0, 0.3, 0.2), 2.0, 32, cfg)
    config = exported_config(trained, (0.4, 0.6), PostProcess(largest_liver=True), flips=False)
    (folder / CONFIG).write_text(json.dumps({**config, "document": {}}))
    save_file(network.state_dict(), folder / WEIGHTS)
    return folder


@pytest.fixture
def hub(written: Path, tmp_path: Path) -> Path:
    """A copy of the folder, to be spoilt."""
    shutil.copytree(written, tmp_path / "hub")
    return tmp_path / "hub"


def change(hub: Path, group: str, value: Any) -> None:
    content = json.loads((hub / CONFIG).read_text())
    (hub / CONFIG).write_text(json.dumps({**content, group: value}))


def test_a_folder_is_read_as_it_was_written(hub: Path) -> None:
    assert is_hub(hub)
    trained = read_run(hub)
    assert (trained.spacing_mm, trained.normalization.mean) == (2.0, 0.3)
    assert list(trained.config.inference.thresholds) == [0.4, 0.6]
    assert trained.config.inference.postprocess.largest_liver
    with torch.inference_mode():
        assert trained.network(torch.zeros(1, 1, 32, 32)).shape == (1, 2, 32, 32)


@pytest.mark.parametrize(
    "node",
    [
        {"_target_": "pathlib.Path.write_text", "self": "x", "data": "y"},
        {"_target_": "torch.load", "f": "x", "weights_only": False},
        {"_target_": "torch.hub.load", "repo_or_dir": "x", "model": "y", "source": "local"},
        {"_target_": "torch.nn.modules.module.torch.load", "f": "x"},
        {"_target_": "torch.nn.Linear.__init__.__globals__"},
        {"_target_": "builtins.open", "file": "x", "mode": "w"},
        {"_target_": "lightning_liver.runs.environment._output", "_args_": ["touch", "x"]},
        {"_target_": "lightning_liver.formats.torch_export.write"},
        {"_target_": "lightning_liver.data.phantom.cases"},
        {"_target_": "monai.networks.nets.basic_unet.torch.load"},
        {"_target_": "monai.losses.PerceptualLoss", "spatial_dims": 2},
        {"_target_": "mine.models.Plain"},
        {"_target_": ["torch.nn.Linear"]},
        {"_target_": "torch.nn.Sequential", "_args_": [{"_target_": "os.system", "command": "touch x"}]},
        {"_target_": "torch.nn.Linear", "in_features": {"deep": [{"_target_": "builtins.eval", "_args_": ["1"]}]}},
        {"_target_": "torch.nn.Linear", "in_features": "${oc.env:HOME}"},
        {"_target_": "torch.nn.Linear", "${oc.env:HOME}": 1},
    ],
)
def test_what_could_be_anything_is_refused_by_name(
    hub: Path, node: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lightning_liver.runs.hub.build_saved", lambda *_: pytest.fail("it was built"))
    content = json.loads((hub / CONFIG).read_text())
    for group in BUILT:
        (hub / CONFIG).write_text(json.dumps({**content, group: node}))
        with pytest.raises(LiverError, match=rf"{group}\.?.*expected"):
            read_run(hub)


def test_a_target_of_another_group_is_refused(hub: Path) -> None:
    change(hub, "model", {"_target_": "lightning_liver.losses.region.dice"})
    with pytest.raises(LiverError, match="expected a model of lightning_liver"):
        read_run(hub)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (CONFIG, b"{"),
        (CONFIG, b"\xff\xfe"),
        (CONFIG, b"[]"),
        (CONFIG, b'{"model": 1}'),
        (CONFIG, b"[" * 100_000),
        (WEIGHTS, b""),
        (WEIGHTS, b"\x00" * 64),
    ],
)
def test_a_damaged_file_is_named(hub: Path, name: str, content: bytes) -> None:
    (hub / name).write_bytes(content)
    with pytest.raises(LiverError, match=name):
        read_run(hub)


@pytest.mark.parametrize(
    ("group", "changes", "told"),
    [
        ("model", {"base_channels": 8}, "do not fit"),
        ("model", {"in_channels": 3}, "do not fit"),
        ("model", {"base_channels": "many"}, "model"),
        ("normalization", {"context": 1}, "do not fit"),
        ("normalization", {"context": 10**9}, CONFIG),
        ("normalization", {"std": 0}, CONFIG),
        ("inference", {"multiple": "${oc.env:HOME}"}, CONFIG),
        ("inference", {"multiple": 10**9}, CONFIG),
        ("inference", {"thresholds": [0.5, 2]}, CONFIG),
        ("data", {"spacing_mm": -1}, CONFIG),
    ],
)
def test_parts_that_do_not_fit_together_are_told(hub: Path, group: str, changes: dict[str, Any], told: str) -> None:
    content = json.loads((hub / CONFIG).read_text())
    change(hub, group, content[group] | changes)
    with pytest.raises(LiverError, match=told):
        read_run(hub)
