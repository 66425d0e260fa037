"""Imports point down only, and rooms of one floor do not import each other."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "lightning_liver"
FLOORS = (
    ("errors", "machine", "run_folder"),
    ("readers",),
    ("types", "volume", "files", "config"),
    ("tables", "help"),
    ("imageio", "augment", "losses", "models", "formats"),
    ("data", "metrics", "finetune"),
    ("inference", "evaluation", "build"),
    ("runs",),
    ("sweep", "audit"),
    ("report",),
    ("training", "comparison", "clustering", "active"),
    ("commands",),
    ("apps", "plugins", "api"),
)
FLOOR_OF = {name: level for level, names in enumerate(FLOORS) for name in names}
LOOSE_MODULES = 8


def imports(path: Path) -> set[str]:
    """Return the parts of the package that a module imports, wherever in it."""
    return _parts(ast.walk(ast.parse(path.read_text())))


def imports_at_start(path: Path) -> set[str]:
    """Return the parts of the package that a module imports when it is imported."""
    return _parts(ast.parse(path.read_text()).body)


def _parts(nodes: Iterable[ast.AST]) -> set[str]:
    found = set()
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("lightning_liver"):
            parts = node.module.split(".")
            found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        if isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
            found |= {parts[1] for parts in names if parts[0] == "lightning_liver" and len(parts) > 1}
    return found


def part(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


MODULES = [path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py"]


def test_imports_point_down_and_never_sideways() -> None:
    wrong = [
        f"{path.relative_to(PACKAGE)} imports {other}"
        for path in MODULES
        for other in imports(path) - {part(path)}
        if FLOOR_OF[other] >= FLOOR_OF[part(path)]
    ]
    assert not wrong


def test_files_of_runs_and_stores_are_read_by_readers_alone() -> None:
    """Then no damage of them ends in a traceback."""
    own = {
        "comparison/results.py": "cells of a table",
        "data/sources.py": "a table of the user's, with its own messages",
        "data/table.py": "a table of the user's, with its own messages",
        "commands/train.py": "conf/",
        "help/options.py": "conf/",
        "formats/bundle.py": "files that were just exported",
        "formats/onnx.py": "files that were just exported",
        "formats/torch_export.py": "files that were just exported",
        "readers.py": "",
    }
    reading = re.compile(r"\bjson\.loads?\(|\byaml\.(safe_)?load\(|\bcsv\.(Dict)?[rR]eader\(|\bOmegaConf\.load\(")
    found = {path.relative_to(PACKAGE).as_posix() for path in MODULES if reading.search(path.read_text())}
    assert found == set(own)


def test_files_are_written_whole() -> None:
    """A killed process leaves the old file or the new one; the folders of these are renamed when they are complete."""
    writing = re.compile(r"\.write_(?:text|bytes)\(|\.open\(\"w")
    found = {
        path.relative_to(PACKAGE).as_posix()
        for path in MODULES
        for line in path.read_text().splitlines()
        if writing.search(line) and "partial" not in line
    }
    assert found == {"data/store.py", "formats/bundle.py", "formats/hub.py", "formats/torch_export.py"}


def test_tensors_are_read_where_damage_is_named() -> None:
    known = {
        "runs/checkpoints.py",
        "finetune/source.py",
        "formats/bundle.py",
    }
    found = {path.relative_to(PACKAGE).as_posix() for path in MODULES if "torch.load(" in path.read_text()}
    assert found == known


def test_root_has_few_loose_modules() -> None:
    loose = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"}
    assert len(loose) <= LOOSE_MODULES, sorted(loose)


def test_modules_of_a_room_do_not_import_in_a_circle() -> None:
    graph = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): set(
            re.findall(r"^(?:from|import) (lightning_liver\.\S+)", path.read_text(), re.M)
        )
        for path in MODULES
    }
    done: set[str] = set()
    while leaves := {name for name in graph.keys() - done if graph[name] & graph.keys() <= done}:
        done |= leaves
    assert not graph.keys() - done


def test_imports_stand_at_the_top_of_the_file_but_for_what_apps_and_plugins_run() -> None:
    """Their start is quick because they import a command, or a sweep, only when it runs."""
    allowed = {"apps": "lightning_liver.commands.", "plugins": "lightning_liver.sweep."}
    late = [
        f"{path.relative_to(PACKAGE)}: {ast.unparse(inner)}"
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef)
        for inner in ast.walk(node)
        if isinstance(inner, ast.Import | ast.ImportFrom)
        and not (
            isinstance(inner, ast.ImportFrom) and (inner.module or "").startswith(allowed.get(part(path), "nowhere"))
        )
    ]
    assert not late


def test_start_of_commands_imports_hydra_alone() -> None:
    heavy = {"torch", "pytorch_lightning", "numpy", "nibabel", "albumentations", "matplotlib", "optuna"}
    for path in [*(PACKAGE / "apps").glob("*.py"), *(PACKAGE / "help").glob("*.py"), PACKAGE / "config.py"]:
        names = {
            alias.name.split(".")[0] if isinstance(node, ast.Import) else (node.module or "").split(".")[0]
            for node in ast.parse(path.read_text()).body
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
        }
        assert not names & heavy, path
        below = {"apps", "help", "config", "errors", "machine", "readers", "run_folder"}
        assert imports_at_start(path) <= below, path


def test_a_public_class_has_a_name_of_its_own() -> None:
    """An import by name then says what is meant without its module."""
    places: dict[str, set[str]] = {}
    for path in MODULES:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places.setdefault(node.name, set()).add(str(path.relative_to(PACKAGE)))
    assert {name: sorted(found) for name, found in places.items() if len(found) > 1} == {}


def test_only_what_reads_configs_knows_hydra() -> None:
    knowing = {part(path) for path in MODULES if re.search(r"^(from|import) (hydra|omegaconf)", path.read_text(), re.M)}
    assert knowing <= {"config", "help", "build", "runs", "sweep", "training", "commands", "apps", "plugins", "api"}


def test_what_hydra_imports_at_every_start_is_light() -> None:
    """Also Optuna: it is an extra, and takes its time."""
    for path in (PACKAGE / "plugins").rglob("*.py"):
        assert imports_at_start(path) <= {"errors"}, path
        assert not re.search(
            r"^(from|import) (?!hydra|omegaconf|importlib|typing|lightning_liver)", path.read_text(), re.M
        )


def test_optuna_is_known_to_sweeps_alone() -> None:
    knowing = {part(path) for path in MODULES if re.search(r"^(from|import) optuna", path.read_text(), re.M)}
    assert knowing == {"sweep"}


def test_prediction_starts_without_lightning() -> None:
    """Its import takes as long as a small scan; a network needs none of it."""
    reached, waiting = set(), ["commands.predict", "training.settings", "models.unet"]
    while waiting:
        name = waiting.pop()
        path = PACKAGE / f"{name.replace('.', '/')}.py"
        if name in reached or not path.exists():
            continue
        reached.add(name)
        text = path.read_text()
        assert not re.search(r"^(from|import) (pytorch_lightning|lightning_fabric|torchmetrics)", text, re.M), name
        waiting += re.findall(r"^(?:from|import) lightning_liver\.(\S+)", text, re.M)
    assert "runs.trained" in reached
    assert "training.settings" in (ROOT / "conf" / "predict.yaml").read_text()


def test_preparing_starts_without_torch() -> None:
    """Each of its processes would import it again, and wait and pay memory for that."""
    modules = ("commands.prepare", "data.prepare", "data.sources", "data.phantom")
    imported = "; ".join(f"import lightning_liver.{module}" for module in modules)
    command = [sys.executable, "-c", f"{imported}; import sys; print('torch' in sys.modules)"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    assert subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout == "False\n"


def test_one_module_reads_a_run_folder_s_config_to_build_from_it() -> None:
    """A new command cannot forget that the folder may be a stranger's."""

    def using(pattern: str) -> set[str]:
        return {str(path.relative_to(PACKAGE)) for path in MODULES if re.search(pattern, path.read_text())}

    assert using(r"\bread_config\(") == {"config.py", "runs/trained.py"}
    assert using(r"\binstantiate\(") == {"build/__init__.py"}
    assert using(r"hydra\.utils\b(?! import instantiate)|\bget_(method|class|object)\(") == {
        "help/unread.py"
    }  # what was typed
    assert using(r"OmegaConf\.load\(") == {"commands/train.py"}  # our own conf/
    calls = [node for path in MODULES for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    checkpoints = [each for each in calls if re.search(r"(torch\.load|\.load_checkpoint)$", ast.unparse(each.func))]
    assert checkpoints
    assert not [text for each in checkpoints if "weights_only=True" not in (text := ast.unparse(each))]
    executing = r"allow_pickle=True|weights_only=False|\bpickle\.|import pickle|joblib\.load|torch\.hub"
    assert using(rf"{executing}|yaml\.(unsafe|full)_load") == set()
