"""What a run folder is bound to: its config, and what was chosen by looking at the machine or at the clock.

It is kept in chosen.json and not chosen anew.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from lightning_liver.errors import LiverError, Unfinished
from lightning_liver.files import clear_partials, write_whole
from lightning_liver.training.settings import TrainerOptions, resolve_auto

_KEPT = ("accelerator", "precision", "channels_last", "threads")
_HYDRA_KEPT = ".hydra.kept"
_BUDGETS = ("max_epochs", "max_minutes")
_PATIENCE_S = 2  # whoever looks whether a run is alive holds its lock for a moment


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a run folder.

    Raises:
        Unfinished: another process runs in it.
    """
    try:
        with FileLock(folder / ".lock", timeout=_PATIENCE_S):
            for place in (folder, folder / "checkpoints"):
                clear_partials(place)
            yield
    except Timeout:
        raise Unfinished(
            f"{folder}: another process runs in this folder. Name another one: hydra.run.dir=..."
        ) from None


def chosen_for(options: TrainerOptions, folder: Path, config: str) -> tuple[TrainerOptions, int | None]:
    """The options without any "auto", and the steps that a wall-clock budget was found to hold, if it was measured.

    A run that began earlier keeps its choices; its budget may be longer now, then it is no longer complete.

    Args:
        config: stands for all that must not differ when the folder is used again.

    Raises:
        LiverError: the folder holds another run, or its budget was longer or of the other kind.
    """
    earlier = _read(folder)
    if not earlier:
        settled = resolve_auto(options)
        _copy(folder / ".hydra", folder / _HYDRA_KEPT)
        _write(folder, {name: getattr(settled, name) for name in (*_KEPT, *_BUDGETS)} | {"config": config})
        return settled, None
    if earlier["config"] != config:
        _copy(folder / _HYDRA_KEPT, folder / ".hydra")  # Hydra wrote the new config before anyone was asked
        raise LiverError(f"{folder} holds a run with another config. Name another folder: hydra.run.dir=...")
    earlier.setdefault("channels_last", earlier["accelerator"] == "cuda")  # as it was before it could be chosen
    options = replace(options, **{name: earlier[name] for name in (*_KEPT, "compile") if name in earlier})
    steps = earlier.get("steps")
    if _longer(options, earlier):
        if steps is not None and options.max_minutes is not None:
            steps = int(steps * options.max_minutes / earlier["max_minutes"])
        budget = {name: getattr(options, name) for name in _BUDGETS} | {"steps": steps, "fitted": False}
        _write(folder, earlier | budget)
    return options, steps


def budget_of(folder: Path) -> dict[str, Any]:
    """The budget that a run folder has now, by option."""
    chosen = _read(folder)
    return {name: chosen[name] for name in _BUDGETS if name in chosen}


def is_fitted(folder: Path) -> bool:
    """Whether training came to its end; early stopping leaves no other trace."""
    return bool(_read(folder).get("fitted"))


def pruned_for(folder: Path) -> str | None:
    """Why the run was given up, if it was."""
    return _read(folder).get("pruned")


def record(folder: Path, **known: Any) -> None:
    """Keep what the run found out: `steps` that its budget holds, `fitted` once training came to its end, `pruned`."""
    _write(folder, _read(folder) | known)


def _longer(options: TrainerOptions, earlier: dict[str, Any]) -> bool:
    if (options.max_minutes is None) != (earlier["max_minutes"] is None):
        raise LiverError(
            "a run counts either epochs or minutes to its end: resume it with the budget that it began with"
        )
    name = "max_epochs" if options.max_minutes is None else "max_minutes"
    wanted, had = getattr(options, name), earlier[name]
    if wanted < had:
        raise LiverError(f"trainer.{name}={wanted:g} is less than the {had:g} that the run has; it may only grow")
    return bool(wanted > had)


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)


def _read(folder: Path) -> dict[str, Any]:
    path = folder / "chosen.json"
    return dict(json.loads(path.read_text())) if path.exists() else {}


def _write(folder: Path, chosen: dict[str, Any]) -> None:
    write_whole(folder / "chosen.json", json.dumps(chosen, indent=1) + "\n")
