"""Code of the user's own that a config names by `_target_`: found beside the command, without PYTHONPATH.

The folder in which a command is typed is searched only for modules that such a config names. It is not on the path
otherwise: a file in it that has the name of an optional package, as a downloaded folder may hold one, never runs.
"""

import re
import sys
from collections.abc import Iterator
from difflib import get_close_matches
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from omegaconf import DictConfig, OmegaConf

from lightning_liver.config import START_FOLDER, is_library
from lightning_liver.errors import LiverError


def make_importable(node: DictConfig) -> None:
    """Import the modules of the user's own that a config names, from beside the command if they are not installed.

    Raises:
        LiverError: a module is missing or cannot be imported, or lacks what is named.
    """
    for option, target in _targets(OmegaConf.to_container(node), str(node._get_full_key(""))):
        if not is_library(target):
            _import(option, target)


def _targets(tree: Any, place: str) -> Iterator[tuple[str, str]]:
    """Yield the full name of each `_target_` option, and its value."""
    children = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for name, value in children:
        if name == "_target_" and isinstance(value, str):
            yield f"{place}._target_", value
        yield from _targets(value, f"{place}.{name}")


def _import(option: str, target: str) -> None:
    top, _, rest = target.partition(".")
    if not (rest and re.fullmatch(r"\w+(\.\w+)+", target)):
        raise LiverError(f"{option}={target}: expected MODULE.NAME, as in mylosses.focal of a file mylosses.py")
    _find(option, target, top)
    try:
        found = _resolve(target)
    except Exception as error:  # of the user's code, which runs here
        raise LiverError(f"{option}={target}: {_reason(_first_cause(error), target, top)}") from error
    if isinstance(found, ModuleType):
        raise LiverError(f"{option}={target}: expected a function or class; this is a module, {found.__file__}")


def _resolve(target: str) -> Any:
    names = target.split(".")
    found: Any = import_module(names[0])
    for n, name in enumerate(names[1:], start=2):
        found = getattr(found, name) if hasattr(found, name) else import_module(".".join(names[:n]))
    return found


def _find(option: str, target: str, top: str) -> None:
    if top in sys.modules or find_spec(top) is not None:
        return
    if not ((START_FOLDER / f"{top}.py").is_file() or (START_FOLDER / top).is_dir()):
        raise LiverError(
            f"{option}={target}: expected a module {top}; {START_FOLDER}, where the command was typed, has neither "
            f"{top}.py nor a folder {top}. Correct the name, or type the command where that file is"
        )
    sys.path.append(str(START_FOLDER))


def _first_cause(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _reason(cause: BaseException, target: str, top: str) -> str:
    parent, _, name = target.rpartition(".")
    missing = cause.name if isinstance(cause, ModuleNotFoundError) else None
    if missing and not f"{target}.".startswith(f"{missing}."):
        return f"it imports {missing}, which is neither installed nor beside it; write or install it"
    module = sys.modules.get(parent)
    if module is None and missing:
        return f"{_place(sys.modules.get(top), top)} has no module {missing.removeprefix(f'{top}.')}; correct the name"
    if module is not None and not hasattr(module, name):
        near = get_close_matches(name, [each for each in vars(module) if not each.startswith("_")], 1)
        hint = f"; did you mean {parent}.{near[0]}?" if near else "; correct the name"
        return f"{_place(module, parent)} has nothing of the name {name}{hint}"
    return f"it cannot be imported ({type(cause).__name__}: {cause}); correct it"


def _place(module: ModuleType | None, name: str) -> str:
    return str(Path(module.__file__)) if module is not None and module.__file__ else name
