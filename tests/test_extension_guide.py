"""The examples of lightning_liver/README.md: their files are written and their commands run."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
import torch

from lightning_liver.runs.scalars import read_scalars
from tests.apps.commands import ROOT, SMALL, call, small_run

GUIDE = (ROOT / "lightning_liver" / "README.md").read_text()
SECTIONS = dict(re.findall(r"^### (.+?)\n(.*?)(?=^### |\Z)", GUIDE, re.M | re.S))


def write_files(section: str, folder: Path) -> None:
    """Write the files of a section; each block's first line is its path."""
    blocks = re.findall(r"^```\w+\n# (\S+)\n(.*?)^```", SECTIONS[section], re.M | re.S)
    assert blocks, section
    for name, content in blocks:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def command(section: str) -> list[str]:
    """Arguments of a section's command, after python and its script or module."""
    [line] = re.findall(r"^    python (.+)$", SECTIONS[section], re.M)
    return shlex.split(line)


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder beside train.py, whose package `mine` can be imported."""
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in [name for name in sys.modules if name.split(".")[0] == "mine"]:
        del sys.modules[name]


def trained(section: str, mine: Path, scans: Path, capfd: pytest.CaptureFixture[str], *options: str) -> str:
    """Output of a section's training, with options that make it quick."""
    write_files(section, mine)
    script, *arguments = command(section)
    assert script == "train.py"
    quick = [option for option in small_run(scans, "run") if not (section == "A network" and "model." in option)]
    code, output = call("train", *arguments, *quick, "trainer.max_epochs=1", *options, folder=mine, capfd=capfd)
    assert code == 0, output
    return output


def test_every_section_is_an_example() -> None:
    assert set(SECTIONS) == {
        *("A loss", "A sum of losses", "An augmentation", "A network", "A fine-tuning strategy", "A fine-tuning term"),
        *("A metric of a case", "A callback", "A logger", "A command"),
    }


def test_loss_of_the_guide_trains(mine: Path, scans: Path, capfd: pytest.CaptureFixture[str]) -> None:
    trained("A loss", mine, scans, capfd)
    losses = [point.value for point in read_scalars(mine / "run" / "tensorboard")["val/loss"]]
    assert all(0 < loss < 1 for loss in losses), "a power of errors below 1"


def test_loss_of_the_guide_equals_its_oracle(mine: Path) -> None:
    write_files("A loss", mine)
    loss, oracle = (import_module(f"mine.{name}").powered_error for name in ("losses", "oracles"))
    logits, target = torch.randn(2, 2, 3, 4), torch.randint(0, 2, (2, 2, 3, 4)).float()
    expected = oracle(logits.double().numpy(), target.double().numpy(), power=3.0)
    assert loss(logits, target, power=3.0, class_weights=None).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
def test_weight_of_the_guide_is_switched_on(mine: Path, scans: Path, capfd: pytest.CaptureFixture[str]) -> None:
    trained("A sum of losses", mine, scans, capfd)
    weights = [point.value for point in read_scalars(mine / "run" / "tensorboard")["train/weight/second"]]
    assert weights == [1.0], "at the end of the only epoch"


@pytest.mark.slow
def test_augmentation_of_the_guide_trains(mine: Path, scans: Path, capfd: pytest.CaptureFixture[str]) -> None:
    trained("An augmentation", mine, scans, capfd)
    trained("An augmentation", mine, scans, capfd, "augment=none", "hydra.run.dir=plain")
    weights = [torch.load(mine / run / "checkpoints" / "last.ckpt")["state_dict"] for run in ("run", "plain")]
    assert any(not torch.equal(weights[0][name], weights[1][name]) for name in weights[0]), "it changes the samples"


@pytest.mark.slow
def test_network_of_the_guide_trains(mine: Path, scans: Path, capfd: pytest.CaptureFixture[str]) -> None:
    trained("A network", mine, scans, capfd)
    assert "Plain" in (mine / "run" / "model.txt").read_text() or "Conv2d" in (mine / "run" / "model.txt").read_text()


@pytest.mark.slow
def test_strategy_of_the_guide_freezes_the_encoder(mine: Path, scans: Path, capfd: pytest.CaptureFixture[str]) -> None:
    trained("A fine-tuning strategy", mine, scans, capfd)
    groups = torch.load(mine / "run" / "checkpoints" / "last.ckpt")["optimizer_states"][0]["param_groups"]
    assert groups
    assert not [group["name"] for group in groups if group["name"].startswith("encoder")]


@pytest.mark.slow
def test_term_of_the_guide_is_added_to_the_loss(mine: Path, scans: Path, capfd: pytest.CaptureFixture[str]) -> None:
    trained("A fine-tuning term", mine, scans, capfd)
    assert read_scalars(mine / "run" / "tensorboard")["train/confidence"][0].value > 0


@pytest.mark.slow
def test_callback_of_the_guide_logs(mine: Path, scans: Path, capfd: pytest.CaptureFixture[str]) -> None:
    trained("A callback", mine, scans, capfd)
    assert read_scalars(mine / "run" / "tensorboard")["train/largest_weight"][0].value > 0


@pytest.mark.slow
def test_logger_of_the_guide_writes_its_table(mine: Path, scans: Path, capfd: pytest.CaptureFixture[str]) -> None:
    trained("A logger", mine, scans, capfd)
    assert "val/loss" in (mine / "run" / "table" / "metrics.csv").read_text().splitlines()[0]


def copied_tree(folder: Path) -> Path:
    """A copy of what a checkout has, in which files can be added."""
    tree = folder / "tree"
    for name in ("lightning_liver", "conf"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__", "niivue.js"))
    shutil.copy(ROOT / "train.py", tree)
    return tree


def run_in(tree: Path, arguments: list[str]) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=tree,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tree), str(tree / "lightning_liver" / "plugins")])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.slow
def test_metric_of_the_guide_is_in_every_table(tmp_path: Path, scans: Path) -> None:
    tree = copied_tree(tmp_path)
    write_files("A metric of a case", tree)
    quick = [*small_run(scans, "run"), "trainer.max_epochs=1", "report=true"]
    run_in(tree, [*command("A metric of a case"), *quick])
    assert "sensitivity" in (tree / "run" / "cases.csv").read_text().splitlines()[0].split(",")
    assert "test/liver/sensitivity" in json.loads((tree / "run" / "metrics.json").read_text())
    assert "Sensitivity" in (tree / "run" / "report.html").read_text()


def test_command_of_the_guide_counts_the_cases(tmp_path: Path, scans: Path) -> None:
    tree = copied_tree(tmp_path)
    write_files("A command", tree)
    loading = [option for option in SMALL if option.startswith("data=")]
    assert "5 cases" in run_in(tree, [*command("A command"), *loading, f"data.root={scans}", "data.workers=0"])
