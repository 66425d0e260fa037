"""Build objects from a config; invalid options raise LiverError."""

import logging
import re
import warnings
from importlib.metadata import PackageNotFoundError, requires
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from pydantic import ValidationError

import lightning_liver.config  # noqa: F401  registers the resolvers that configs use
from lightning_liver.build.own_code import make_importable
from lightning_liver.data.store import Store
from lightning_liver.errors import LiverError, LiverWarning, explain
from lightning_liver.types.options import check_partial

log = logging.getLogger(__name__)


def build(node: DictConfig, *args: Any, **kwargs: Any) -> Any:
    """Build the object that `_target_` of a config node names: ours, of a library, or of a file beside the command.

    Args:
        args, kwargs: missing arguments of a node with `_partial_`.

    Raises:
        LiverError: an option is of the wrong type or out of range, or a package is not installed.
    """
    make_importable(node)
    try:
        made = instantiate(node, _convert_="all")
        check_partial(made, str(node._get_full_key("")))
        return made(*args, **kwargs) if args or kwargs else made
    except InstantiationException as error:
        raise LiverError(_reason(error, node)) from error
    except ValidationError as error:
        raise LiverError(explain(error, _group(node))) from error


def build_saved(node: DictConfig, path: Path) -> Any:
    """Build an object of a config that was read from a file.

    Raises:
        LiverError: as build; the message names the file.
    """
    try:
        return build(node)
    except LiverError as error:
        raise LiverError(str(error) if str(path) in str(error) else f"{path}: {error}") from error


def named_nodes(group: str, nodes: DictConfig | None) -> dict[str, DictConfig]:
    """Return the nodes of a group whose keys are names of the user's own, without those that are null.

    Raises:
        LiverError: one of them names nothing that can be built.
    """
    named = {str(name): nodes[name] for name in nodes or () if nodes is not None and nodes[name] is not None}
    for name, node in named.items():
        if not isinstance(node, DictConfig) or "_target_" not in node:
            raise LiverError(
                f"{group}.{name}={node}: expected null or a mapping with _target_; give a yaml of {group}/ in the "
                "folder of --config-dir"
            )
    return named


def prepared(data: DictConfig) -> Store:
    """Return the store of a data config, brought up to date.

    Raises:
        OmegaConfBaseException: a required option such as data.root has no value.
        LiverError: no source of scans, as in a folder of liver-export; the errors of the source and of prepare.
    """
    if "source" not in data:
        raise LiverError(
            "data.source: expected scans, but a folder of liver-export names none; name a data set, as in data=lits "
            "data.root=DIR, or give run= the run folder"
        )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", LiverWarning)
        cases = build(data.source)
    for warning in caught:
        log.warning(str(warning.message))
    store: Store = build(data.prepare, cases)
    return store


def _group(node: DictConfig) -> str:
    return str(node._get_full_key("")).split(".")[0]


def _typed(node: DictConfig, message: str, option: str) -> str:
    """Return the dotted place at which the user sets an option.

    An error names the part of the node that failed. The option belongs to that part, unless the part only refers to an
    option of the whole group, as data.source does.
    """
    found = re.search(r"^full_key: (\S+)", message, re.MULTILINE)
    part = OmegaConf.select(node._get_root(), found[1]) if found else node
    pointing = not OmegaConf.is_dict(part) or option not in part or OmegaConf.is_interpolation(part, option)
    return _group(node) if pointing or not found else found[1]


def _reason(error: InstantiationException, node: DictConfig) -> str:
    cause, group = error.__cause__, _group(node)
    if isinstance(cause, ValidationError):
        return explain(cause, _typed(node, str(error), str(cause.errors()[0]["loc"][0])))
    if isinstance(cause, LiverError):
        return str(cause)
    while cause is not None and not isinstance(cause, ModuleNotFoundError):
        cause = cause.__cause__
    package = (cause.name or "").split(".")[0] if cause is not None else ""
    if package and find_spec(package) is None:
        return f"{group} needs the package {package}, which is not installed: pip install {_requirements(package)}"
    return f"{group}: {error}"


def _requirements(package: str) -> str:
    """Return what to install for an optional package: all packages of its extra, with their versions."""
    try:
        ours = [each.partition(";") for each in requires("lightning-liver") or ()]
    except PackageNotFoundError:
        return package.replace("_", "-")
    of_extra: dict[str, list[str]] = {}
    for requirement, _, marker in ours:
        if extra := re.search(r"extra == ['\"]([\w-]+)['\"]", marker):
            of_extra.setdefault(extra[1], []).append(requirement.strip())
    name = package.replace("_", "-")
    bringing = [each for each in of_extra.values() if any(re.match(rf"{name}\b(?!-)", needed) for needed in each)]
    return " ".join(f"'{needed}'" for needed in min(bringing, key=len)) if bringing else name
