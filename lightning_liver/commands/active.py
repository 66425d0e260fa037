"""liver-active: rounds of training and asking for labels, simulated or with an expert."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import Timeout
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from pydantic import ValidationError

from lightning_liver.active.options import LoopOptions
from lightning_liver.commands.active_expert import accept, init, propose, status
from lightning_liver.commands.active_simulated import simulate
from lightning_liver.config import typed as typed_value
from lightning_liver.errors import LiverError, Unfinished, explain
from lightning_liver.files import held_lock

_ACTIONS: dict[str, Callable[..., object]] = {
    "simulate": simulate,
    "init": init,
    "propose": propose,
    "accept": accept,
    "status": status,
}
_OWN = "command-line"  # provider of --config-dir, in the names of Hydra
_OF_THE_EXPERT = ("init", "propose", "accept", "status")
_OF_ACTIONS = {  # options that other actions do not read
    "pool": ("init", "propose"),
    "run": ("init",),
    "patients": ("init", "accept"),
    "val_patients": ("init",),
    "test_patients": ("init",),
    "corrections": ("accept",),
    "accept_unchanged": ("accept",),
}


def active(cfg: DictConfig, folder: Path) -> object:
    """Run an action of a loop of active learning.

    Raises:
        LiverError: an invalid option, or one that the action does not read; see the actions.
        Unfinished: another process works in the workspace.
    """
    options = _options(cfg)
    typed = _typed() if HydraConfig.initialized() else []
    _refuse_others(options.action, typed)
    if options.action in _OF_THE_EXPERT and HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN:
        raise LiverError(
            f"action={options.action}: expected one workspace, but the command line is a sweep; leave out -m, and in "
            "place of an experiment that is one give its options"
        )
    if options.action == "status":  # reads alone, also while a round trains
        status(cfg, folder, typed)
        return None
    with _locked(folder):
        if options.action == "simulate":
            return simulate(cfg, folder, options)
        return _ACTIONS[options.action](cfg, folder, typed)


def _typed() -> list[str]:
    """Return the options of the command line, with the folders of --config-dir, which a workspace keeps, too."""
    hydra = HydraConfig.get()
    folders = [f"file://{Path(each.path).resolve()}" for each in hydra.runtime.config_sources if _OWN in each.provider]
    searched = [f"hydra.searchpath={typed_value(folders)}"] if folders else []
    return [*map(str, hydra.overrides.task), *searched]


def _options(cfg: DictConfig) -> LoopOptions:
    typed: Any = OmegaConf.to_container(cfg)
    try:
        return LoopOptions(**{name: typed[name] for name in LoopOptions.__dataclass_fields__})
    except ValidationError as error:
        raise LiverError(explain(error)) from error


def _refuse_others(action: str, typed: list[str]) -> None:
    for name, _, value in (each.partition("=") for each in typed):
        if action not in (actions := _OF_ACTIONS.get(name.lstrip("+"), (action,))):
            expected = " or ".join(f"action={each}" for each in actions)
            raise LiverError(f"{name}={value}: expected {expected}, action={action} does not read it; leave it out")


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold a workspace.

    Raises:
        Unfinished: another process works in it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with held_lock(folder / ".active.lock", timeout_s=0):
            yield
    except Timeout:
        raise Unfinished(
            f"workspace={folder}: another process works in this folder; wait for it, or give another workspace="
        ) from None
