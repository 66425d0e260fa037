"""Differences between a run's config and the default one."""

from pathlib import Path
from typing import Any

from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lightning_liver.config import COMMAND, compose, read_options
from lightning_liver.run_folder import RunFolder
from lightning_liver.runs.settings import flat, read_choices


def differences(run: Path) -> dict[str, dict[str, list[Any]]] | None:
    """Compare a run's config with the default one: [default, own] of groups and of options that differ.

    The defaults of options are those of the groups that the run chose, so that a choice is named once and its options
    are not. None for a run that was not started by a command, or whose groups are not of our conf/.
    """
    saved, hydra = RunFolder(run).config, RunFolder(run).hydra_config
    if not (saved.is_file() and hydra.is_file()):
        return None
    chosen = read_choices(run)
    try:
        default = compose("train", [], return_hydra_config=True).hydra.runtime.choices
        changed = {
            group: choice for group, choice in chosen.items() if _is_compared(group) and default.get(group) != choice
        }
        alone = compose("train", [f"{group}={choice}" for group, choice in changed.items()])
    except (HydraException, OmegaConfBaseException):
        return None
    own, usual = _options(read_options(saved)), _options(OmegaConf.to_container(alone))
    return {
        "choices": {group: [default.get(group), choice] for group, choice in changed.items()},
        "options": {
            name: [usual.get(name), own.get(name)] for name in {**usual, **own} if usual.get(name) != own.get(name)
        },
    }


def _is_compared(group: str) -> bool:
    return not group.startswith("hydra/") and group not in ("experiment", "debug")


def _options(config: Any) -> dict[str, object]:
    return flat({name: value for name, value in config.items() if name not in (*COMMAND, "hydra")})
