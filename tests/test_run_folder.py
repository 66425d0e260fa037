"""File names of a run folder stand in run_folder.py alone."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from lightning_liver.run_folder import NAMES

ROOT = Path(__file__).parents[1]
MODULES = [path for room in ("lightning_liver", "experiments") for path in sorted((ROOT / room).rglob("*.py"))]
PLACE = ROOT / "lightning_liver" / "run_folder.py"
PARTS = {part for path in vars(NAMES).values() for part in path.parts}
FILES = {part for part in PARTS if Path(part).suffix}  # others, such as "pictures", are also words


def spelt(source: str) -> Iterator[str]:
    """Yield the names that a module spells: files in any text except docstrings, folders where joined by `/`."""
    tree = ast.parse(source)
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) and isinstance(node.right, ast.Constant):
            yield from {node.right.value} & PARTS - FILES
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield from (name for name in FILES if re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w-]|\.\w)", node.value))


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ('path = run / "checkpoints" / "best.ckpt"', {"checkpoints", "best.ckpt"}),
        ('paths = run.glob("*/metrics.json")', {"metrics.json"}),
        ('raise LiverError(f"{run} has no .hydra/config.yaml.")', {"config.yaml"}),
        ('"""The lines of cases.csv."""\nrole = "pictures"\nname = "my-cases.csv"', set()),
    ],
)
def test_spelt_names_are_found(source: str, names: set[str]) -> None:
    assert set(spelt(source)) == names


def test_no_other_module_spells_the_file_names_of_a_run_folder() -> None:
    assert {"metrics.json", ".hydra", "checkpoints", "last.ckpt", ".hydra.kept"} <= PARTS
    modules = {str(path.relative_to(ROOT)): set(spelt(path.read_text())) for path in MODULES if path != PLACE}
    assert {name: found for name, found in modules.items() if found} == {}
    assert set(spelt(PLACE.read_text())) == PARTS
