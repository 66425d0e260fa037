import logging
import os
import pickle
import zipfile
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from lightning_liver.errors import LiverError
from lightning_liver.finetune.source import read_weights
from tests.finetune.networks import bits, same, task, unet


def lightning_checkpoint(path: Path, network: nn.Module) -> Path:
    """As Lightning writes it of our task, which also has a buffer that is not the network's."""
    module = task(network)
    module.register_buffer("weight_of_a_loss", torch.ones(3))
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False)
    trainer.strategy.connect(module)
    trainer.save_checkpoint(path)
    return path


def saved(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


def as_bytes(content: Any, **options: Any) -> bytes:
    stream = BytesIO()
    torch.save(content, stream, **options)
    return stream.getvalue()


@pytest.mark.parametrize("name", ["best.ckpt", "last.ckpt"])
def test_a_run_gives_its_best_weights_or_its_last_bit_for_bit(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    network, other = unet(1), unet(2)
    lightning_checkpoint(tmp_path / "checkpoints" / name, network)
    if name == "best.ckpt":
        lightning_checkpoint(tmp_path / "checkpoints" / "last.ckpt", other)
    with caplog.at_level(logging.INFO):
        read = read_weights(tmp_path)
    assert same(read, bits(network))
    assert name in caplog.text
    assert same(read_weights(str(tmp_path / "checkpoints" / name)), read)


@pytest.mark.parametrize("key", ["state_dict", "model", "model_state_dict", "network_weights", "net", "weights", None])
@pytest.mark.parametrize("name", ["weights.pt", "weights.pth", "weights"])
def test_a_state_dict_is_read_bit_for_bit_plain_or_below_a_known_key(
    key: str | None, name: str, tmp_path: Path
) -> None:
    weights = unet(1).state_dict()
    content = weights if key is None else {"epoch": 3, "loss": torch.tensor(0.5), key: weights}
    assert same(read_weights(saved(tmp_path / name, content)), dict(weights))


def test_keys_may_stand_below_each_other(tmp_path: Path) -> None:
    weights = unet(1).state_dict()
    assert same(read_weights(saved(tmp_path / "a.pt", {"model": {"state_dict": weights}})), dict(weights))


@settings(max_examples=20)
@given(
    st.dictionaries(
        st.text("abc.01", min_size=1, max_size=8),
        st.tuples(
            st.lists(st.integers(0, 3), max_size=4), st.sampled_from([torch.float32, torch.bfloat16, torch.int64])
        ),
        min_size=1,
        max_size=5,
    )
)
def test_safetensors_and_state_dicts_give_equal_bits(
    tmp_path_factory: pytest.TempPathFactory, described: dict[str, tuple[list[int], torch.dtype]]
) -> None:
    folder = tmp_path_factory.mktemp("weights")
    weights = {name: (torch.randn(shape) * 9).to(dtype) for name, (shape, dtype) in described.items()}
    safetensors.torch.save_file(weights, folder / "a.safetensors")
    for path in (folder / "a.safetensors", saved(folder / "a.pt", weights)):
        read = read_weights(path)
        assert same(read, weights)
        assert all(read[name].dtype == weights[name].dtype for name in weights)


def test_parameters_are_read_as_tensors_without_a_gradient(tmp_path: Path) -> None:
    read = read_weights(saved(tmp_path / "a.pt", {"a": nn.Parameter(torch.ones(2))}))
    assert not read["a"].requires_grad


class Opens:
    """Unpickled, it would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (str(self.path), "w"))


class Commands(Opens):
    def __reduce__(self) -> tuple[Any, ...]:
        return (os.system, (f"touch {self.path}",))


@pytest.mark.parametrize("kind", [Opens, Commands])
@pytest.mark.parametrize("name", ["evil.pt", "evil.ckpt", "evil.safetensors", "run"])
@pytest.mark.parametrize("write", ["zip", "legacy", "pickle 2", "pickle 5"])
def test_code_in_a_file_is_never_executed(kind: type[Opens], name: str, write: str, tmp_path: Path) -> None:
    trace = tmp_path / "it was executed"
    content = {"state_dict": {"a": torch.ones(2), "b": kind(trace)}}
    data = {
        "zip": lambda: as_bytes(content),
        "legacy": lambda: as_bytes(content, _use_new_zipfile_serialization=False),
        "pickle 2": lambda: pickle.dumps({"state_dict": kind(trace)}, 2),
        "pickle 5": lambda: pickle.dumps({"state_dict": kind(trace)}, 5),
    }[write]()
    path = tmp_path / name / "checkpoints" / "best.ckpt" if name == "run" else tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    with pytest.raises(LiverError, match=path.name):
        read_weights(tmp_path / name)
    assert not trace.exists()


def test_the_same_file_would_execute_its_code_if_it_were_let(tmp_path: Path) -> None:
    trace = tmp_path / "it was executed"
    torch.load(saved(tmp_path / "evil.pt", {"a": Opens(trace)}), weights_only=False)["a"].close()
    assert trace.exists()


@pytest.mark.parametrize(
    ("content", "asked"),
    [
        (nn.Linear(2, 2), "torch.nn.modules.linear.Linear"),
        ({"network_weights": {"a": torch.ones(2)}, "_best_ema": np.float64(0.5)}, "multiarray.scalar"),
    ],
)
def test_what_is_more_than_tensors_is_named_with_the_way_to_write_them_alone(
    content: Any, asked: str, tmp_path: Path
) -> None:
    with pytest.raises(LiverError, match=rf"a\.pt was not read: it asks for \S*{asked}.*state_dict\(\)"):
        read_weights(saved(tmp_path / "a.pt", content))


def test_torchscript_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.warns(DeprecationWarning, match="torch.jit"):
        torch.jit.save(torch.jit.script(nn.Linear(2, 2)), tmp_path / "a.pt")
    with pytest.raises(LiverError, match="TorchScript"):
        read_weights(tmp_path / "a.pt")


def zipped() -> bytes:
    stream = BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("holiday.txt", "sea")
    return stream.getvalue()


def several_disks() -> bytes:
    """A checkpoint with one wrong byte, for which zipfile.is_zipfile raises."""
    data = bytearray(WHOLE)
    data[data.rindex(b"PK\6\7") + 16] = 2
    return bytes(data)


WHOLE = as_bytes({"state_dict": {"a": torch.ones(99)}})
SAFE = safetensors.torch.save({"a": torch.ones(99)})


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.pt", b"", "is empty"),
        ("a.safetensors", b"", "is empty"),
        ("a.ckpt", WHOLE[:300], r"300 bytes, a zip archive\) is damaged"),
        ("a.ckpt", WHOLE[:-30], "is damaged"),
        ("a.pt", several_disks(), r"a zip archive\) is damaged, or no checkpoint"),
        ("a.pt", zipped(), r"a zip archive\) is damaged, or no checkpoint"),
        ("a.pt", b"hello world", "is damaged, or no checkpoint"),
        ("a.pt", SAFE, "is damaged, or no checkpoint"),
        ("a.safetensors", SAFE[:-3], "is damaged, or no safetensors file"),
        ("a.safetensors", WHOLE, "is damaged, or no safetensors file"),
        ("a.safetensors", b"hello world", "is damaged, or no safetensors file"),
        ("a.safetensors", safetensors.torch.save({}), "holds no tensors by name, but nothing"),
        ("a.pt", as_bytes({}), "holds no tensors by name, but nothing"),
        ("a.pt", as_bytes([1, 2]), "holds no tensors by name, but a list"),
        ("a.pt", as_bytes(torch.ones(2)), "holds no tensors by name, but a Tensor"),
        ("a.pt", as_bytes({"epoch": 3, "lr": 0.1}), "but epoch, lr"),
        ("a.pt", as_bytes({1: torch.ones(2)}), "holds no tensors by name"),
        ("a.pt", as_bytes({"state_dict": {}}), "holds no tensors by name"),
    ],
)
def test_bad_file_is_named_with_what_was_seen(name: str, data: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(LiverError, match=said) as refused:
        read_weights(tmp_path / name)
    assert str(tmp_path / name) in str(refused.value)
    assert "copy it again" in str(refused.value).lower() or "finetune.source" in str(refused.value)


def test_missing_file_and_folder_without_checkpoint_are_reported_what_is_wanted(tmp_path: Path) -> None:
    with pytest.raises(LiverError, match=r"no file .*nowhere\.ckpt.*safetensors"):
        read_weights(tmp_path / "nowhere.ckpt")
    with pytest.raises(LiverError, match=r"neither checkpoints/best\.ckpt nor checkpoints/last\.ckpt"):
        read_weights(tmp_path)
    with pytest.raises(LiverError, match="cannot be read: File name too long"):
        read_weights("a" * 5000)


def test_a_file_that_holds_itself_ends(tmp_path: Path) -> None:
    content: dict[str, Any] = {}
    content["model"] = content
    with pytest.raises(LiverError, match="holds no tensors"):
        read_weights(saved(tmp_path / "a.pt", content))


@pytest.mark.parametrize("name", ["a.pt", "legacy.pt", "a.safetensors"])
@settings(max_examples=60)
@given(
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=6), end=st.floats(0, 1)
)
def test_damaged_bytes_give_tensors_or_a_message(
    tmp_path_factory: pytest.TempPathFactory, name: str, changes: list[tuple[float, int]], end: float
) -> None:
    weights = {"a": torch.ones(3), "b": torch.ones(2, 2)}
    data = bytearray(
        safetensors.torch.save(weights)
        if name == "a.safetensors"
        else as_bytes(weights, _use_new_zipfile_serialization=name == "a.pt")
    )
    for place, value in changes:
        data[int(place * len(data))] = value
    path = tmp_path_factory.mktemp("damaged") / name
    path.write_bytes(data if end > 0.5 else data[: int(2 * end * len(data))])
    with suppress(LiverError):  # anything else is a traceback
        read = read_weights(path)
        assert all(isinstance(value, Tensor) for value in read.values())
