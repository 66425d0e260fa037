"""Code of the user's own, in files beside the command."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from lightning_liver.build import build, own_code
from lightning_liver.errors import LiverError


@pytest.fixture
def beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder where the command is typed, which is not on the path."""
    monkeypatch.setattr(own_code, "START_FOLDER", tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    known = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - known:
        del sys.modules[name]


def named(target: str, **options: Any) -> DictConfig:
    return OmegaConf.create({"loss": {"_target_": target, **options}}).loss


def test_file_beside_the_command_is_found_with_the_files_that_it_imports(beside: Path) -> None:
    (beside / "own_losses.py").write_text("from own_parts import twice\n\ndef loss(value): return twice(value)\n")
    (beside / "own_parts.py").write_text("def twice(value): return 2 * value\n")
    assert build(named("own_losses.loss", value=3)) == 6


def test_folder_beside_the_command_is_found_in_a_nested_node(beside: Path) -> None:
    (beside / "own_folder").mkdir()
    (beside / "own_folder" / "losses.py").write_text("def loss(value): return value + 1\n")
    inner = named("own_folder.losses.loss", value=1)
    nested = OmegaConf.create({"loss": {"_target_": "builtins.list", "_args_": [[inner]]}})
    assert build(nested.loss) == [2]


def test_folder_is_not_searched_for_modules_that_no_config_names(beside: Path) -> None:
    (beside / "never_named.py").write_text("raise SystemExit('executed')\n")
    build(named("torch.nn.Identity"))
    assert str(beside) not in sys.path
    with pytest.raises(ModuleNotFoundError):
        __import__("never_named")


def test_file_with_the_name_of_a_library_that_is_not_installed_is_not_executed(
    beside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = own_code.find_spec
    monkeypatch.setattr(own_code, "find_spec", lambda name: None if name.startswith("monai") else find(name))
    monkeypatch.setitem(sys.modules, "monai", None)
    (beside / "monai.py").write_text("raise SystemExit('executed')\n")
    with pytest.raises(LiverError, match=r"needs the package monai, .* pip install 'monai>=1.4'"):
        build(named("monai.networks.nets.BasicUNet"))
    assert str(beside) not in sys.path


Files = Callable[[Path], object]


@pytest.mark.parametrize(
    ("content", "target", "message"),
    [
        (None, "own.loss", "expected a module own; {folder}, where the command was typed, has neither own.py nor"),
        ("def los(): ...", "own.loss", "{folder}/own.py has nothing of the name loss; did you mean own.los?"),
        ("", "own.losses.dice", "{folder}/own.py has no module losses"),
        ("import not_there_at_all", "own.loss", "it imports not_there_at_all, which is neither installed nor beside"),
        ("def loss(:", "own.loss", "it cannot be imported (SyntaxError"),
        ("raise RuntimeError('mine')", "own.loss", "it cannot be imported (RuntimeError: mine)"),
        ("", "own", "expected MODULE.NAME"),
        ("import os", "own.os", "this is a module"),
    ],
)
def test_what_cannot_be_found_is_told_with_its_place_and_nothing_to_install(
    beside: Path, content: str | None, target: str, message: str
) -> None:
    if content is not None:
        (beside / "own.py").write_text(content)
    with pytest.raises(LiverError) as wrong:
        build(named(target))
    assert str(wrong.value).startswith(f"loss._target_={target}: ")
    assert message.format(folder=beside) in str(wrong.value)
    assert "pip install" not in str(wrong.value)
