"""torch.compile of a training step's network."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lightning_liver.errors import LiverError
from lightning_liver.models.unet import UNet
from lightning_liver.training import compiling
from lightning_liver.training.compiling import compiled, is_wanted
from lightning_liver.training.settings import TrainerOptions
from tests.apps.commands import call, run, small_run
from tests.training.test_run_state import OPTIONS

ASKED = replace(OPTIONS, precision="32-true", threads=1, compile=True)


def network() -> UNet:
    torch.manual_seed(0)
    return UNet(in_channels=1, classes=2, base_channels=4, depth=2, norm="batch", dropout=0.0)


@pytest.mark.parametrize("asked", [None, False])
def test_it_is_asked_for(asked: bool | None) -> None:
    assert compiled(network(), replace(ASKED, compile=asked)) is None


def test_a_machine_without_a_compiler_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(LiverError, match="C\\+\\+ compiler"):
        compiled(network(), ASKED)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> TrainerOptions:
    """A GPU, and all that it takes to compile for it."""
    monkeypatch.setattr(compiling, "find_spec", lambda name: name)
    monkeypatch.setattr(shutil, "which", lambda name: name or None)
    monkeypatch.setattr("sysconfig.get_paths", lambda: {"include": str(tmp_path)})
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (7, 5))
    (tmp_path / "Python.h").touch()
    return replace(ASKED, accelerator="cuda", compile="auto")


def test_auto_compiles_where_a_gpu_trains_and_nothing_looks_into_the_network(gpu: TrainerOptions) -> None:
    assert is_wanted(gpu, hooked=False)
    assert not is_wanted(gpu, hooked=True)
    assert not is_wanted(replace(gpu, accelerator="cpu"), hooked=False)
    assert not is_wanted(replace(gpu, accelerator="mps"), hooked=False)


@pytest.mark.parametrize("lack", ["triton", "C compiler", "Python.h", "compute capability 7.0"])
def test_auto_trains_without_where_something_is_missing_and_true_says_what(
    gpu: TrainerOptions, lack: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if lack == "triton":
        monkeypatch.setattr(compiling, "find_spec", lambda name: None)
    elif lack == "C compiler":
        monkeypatch.setattr(shutil, "which", lambda name: None)
    elif lack == "Python.h":
        (tmp_path / "Python.h").unlink()
    else:
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (6, 1))
    assert not is_wanted(gpu, hooked=False)
    assert compiled(network(), gpu) is None
    with pytest.raises(LiverError, match=f"{lack}.*trainer.compile=false"):
        compiled(network(), replace(gpu, compile=True))


class Counted(nn.Module):
    """In place of a compiled network."""

    calls = 0

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Any:
        Counted.calls += 1
        return self.network(images)


@pytest.mark.slow
def test_training_steps_use_it_and_weights_keep_their_names(
    scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch, "compile", lambda network, dynamic: Counted(network))
    Counted.calls = 0
    runs = (("plain", "trainer.compile=null"), ("compiled", "trainer.compile=true"))
    for name, option in runs:
        code, output = call("train", *small_run(scans, name, option), folder=tmp_path, capfd=capfd)
        assert code == 0, output
        assert (", compiled" in output) == (name == "compiled")
    plain, other = (torch.load(tmp_path / name / "checkpoints" / "last.ckpt", weights_only=True) for name, _ in runs)
    assert Counted.calls == other["global_step"], "not for validating or testing"
    assert list(plain["state_dict"]) == list(other["state_dict"])
    assert all(torch.equal(plain["state_dict"][name], other["state_dict"][name]) for name in plain["state_dict"])


@pytest.mark.parametrize("word", ["true", "yes", "1"])
def test_terms_that_look_into_the_network_are_refused(
    scans: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], word: str
) -> None:
    arguments = small_run(scans, "run", "finetune=multitask", "finetune.source=run", f"trainer.compile={word}")
    code, output = call("train", *arguments, folder=tmp_path, capfd=capfd)
    assert code == 2, output
    assert "trainer.compile=true cannot be combined with" in output


@pytest.mark.slow
@pytest.mark.skipif(not any(map(shutil.which, ("g++", "c++", "clang++"))), reason="no C++ compiler is here")
def test_compiled_a_run_ends_with_nearly_the_same_weights(scans: Path, tmp_path: Path) -> None:
    """In processes of their own: here annotations are checked, which torch cannot compile."""
    for name, option in (("plain", "trainer.compile=false"), ("compiled", "trainer.compile=true")):
        code, output = run("train", *small_run(scans, name, option, "model.dropout=0"), folder=tmp_path)
        assert code == 0, output
    plain, made = (
        torch.load(tmp_path / name / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for name in ("plain", "compiled")
    )
    assert list(plain) == list(made)
    assert any(not torch.equal(made[name], weight) for name, weight in plain.items()), "compiled, it rounds otherwise"
    for name, weight in plain.items():
        torch.testing.assert_close(made[name], weight, rtol=0.05, atol=0.01)
