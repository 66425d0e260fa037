"""A loss that a user adds: a function in a module of theirs, and a yaml in a config folder of theirs."""

import runpy
import sys
from pathlib import Path

import pytest
import torch

from lightning_liver.build import build
from lightning_liver.config import compose, identity
from lightning_liver.errors import LiverError

TABLE = Path(__file__).parents[2] / "experiments" / "loss_examples" / "table.py"
FUNCTION = """
from lightning_liver.losses.checks import as_float32
from lightning_liver.losses.classes import PIXELS, ClassWeights, mean_of_classes
from lightning_liver.types.options import Positive


def powered(logits, target, *, power: Positive, class_weights: ClassWeights):
    logits, target = as_float32(logits, target)
    return mean_of_classes(((logits.sigmoid() - target).abs() ** power).mean(PIXELS), class_weights)
"""
YAML = """
# Mean of |p - y|^power.
_target_: own_losses.powered
_partial_: true
power: 2.0 # of the error of a pixel
class_weights: null
"""


@pytest.fixture
def conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A config folder with one loss, whose function is on the path."""
    (tmp_path / "own_losses.py").write_text(FUNCTION)
    (tmp_path / "conf" / "loss").mkdir(parents=True)
    (tmp_path / "conf" / "loss" / "powered.yaml").write_text(YAML)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_losses", raising=False)
    return tmp_path / "conf"


def test_own_loss_is_built_by_its_name_and_learns(conf: Path) -> None:
    loss = build(compose("train", [f"hydra.searchpath=[file://{conf}]", "loss=powered", "loss.power=4"]).loss)
    logits, target = torch.zeros(1, 2, 4, 4, requires_grad=True), torch.ones(1, 2, 4, 4)
    before = loss(logits, target)
    assert before.item() == pytest.approx(0.5**4)
    before.backward()
    assert loss(logits.detach() - logits.grad, target) < before


def test_option_of_an_own_loss_is_checked(conf: Path) -> None:
    node = compose("train", [f"hydra.searchpath=[file://{conf}]", "loss=powered", "loss.power=-1"]).loss
    with pytest.raises(LiverError, match=r"loss\.power=-1: expected a value greater than 0"):
        build(node)


def test_own_loss_is_measured_with_all_others_only_where_its_folder_is_given(conf: Path) -> None:
    ours = compose("train", ["test_losses=all"])
    wider = compose("train", ["test_losses=all", f"hydra.searchpath=[file://{conf}]"])
    assert set(wider.test_losses) - set(ours.test_losses) == {"powered"}
    assert wider.test_losses.powered.power == 2.0
    assert "powered" not in compose("train", ["test_losses=all"]).test_losses
    assert identity(compose("train", ["test_losses=all"])) == identity(ours)


@pytest.mark.slow
def test_table_of_examples_has_the_own_loss(conf: Path) -> None:
    rows = runpy.run_path(str(TABLE))["loss_rows"](conf)
    assert next(row for row in rows if row["loss"] == "powered")["empty"] == pytest.approx(10 / 96**2, rel=1e-5)
