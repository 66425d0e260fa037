"""The file names of a run folder stand in runs/folder.py alone."""

import ast
from pathlib import Path

from lightning_liver.runs.folder import RunFolder

PACKAGE = Path(__file__).parents[2] / "lightning_liver"
NAMES = {part for path in vars(RunFolder(Path())).values() for part in path.parts}
EXCEPT = {"apps/train.py", "finetune/source.py"}  # apps start without the package; fine-tuning is a floor below


def joined_names(path: Path) -> set[str]:
    """Names that a module joins to a path by `/`."""
    return {
        node.right.value
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) and isinstance(node.right, ast.Constant)
    }


def test_no_other_module_spells_the_file_names_of_a_run_folder() -> None:
    assert {"metrics.json", ".hydra", "checkpoints", "last.ckpt"} <= NAMES
    modules = {str(path.relative_to(PACKAGE)): joined_names(path) & NAMES for path in PACKAGE.rglob("*.py")}
    assert modules.pop("runs/folder.py") > {"metrics.json", "checkpoints"}
    assert {name: found for name, found in modules.items() if found and name not in EXCEPT} == {}
