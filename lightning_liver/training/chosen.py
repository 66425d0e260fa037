"""What a run chose by looking at the machine or at the clock. It is kept in the run folder and not chosen anew."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from lightning_liver.errors import LiverError
from lightning_liver.training.trainer import TrainerOptions, settle

_KEPT = ("accelerator", "precision", "threads")
_BUDGETS = ("max_epochs", "max_minutes")


def chosen_for(options: TrainerOptions, folder: Path) -> tuple[TrainerOptions, int | None]:
    """The options without any "auto", and the epochs that a wall-clock budget was found to hold, if it was measured.

    A run that began earlier keeps its choices; its budget may be longer now, then it is no longer complete.

    Raises:
        LiverError: the budget is shorter than it was, or of the other kind.
    """
    earlier = _read(folder)
    if not earlier:
        settled = settle(options)
        _write(folder, {name: getattr(settled, name) for name in (*_KEPT, *_BUDGETS)})
        return settled, None
    options = replace(options, **{name: earlier[name] for name in _KEPT})
    epochs = earlier.get("epochs")
    if _longer(options, earlier):
        if epochs is not None and options.max_minutes is not None:
            epochs = int(epochs * options.max_minutes / earlier["max_minutes"])
        _write(folder, earlier | {name: getattr(options, name) for name in _BUDGETS} | {"epochs": epochs})
        (folder / "metrics.json").unlink(missing_ok=True)
    return options, epochs


def record_epochs(folder: Path, epochs: int) -> None:
    """Keep the number of epochs that the budget was found to hold."""
    _write(folder, _read(folder) | {"epochs": epochs})


def _longer(options: TrainerOptions, earlier: dict[str, Any]) -> bool:
    if (options.max_minutes is None) != (earlier["max_minutes"] is None):
        raise LiverError(
            "a run counts either epochs or minutes to its end: resume it with the budget that it began with"
        )
    name = "max_epochs" if options.max_minutes is None else "max_minutes"
    wanted, had = getattr(options, name), earlier[name]
    if wanted < had:
        raise LiverError(
            f"trainer.{name}={wanted:g} is less than the {had:g} that the run began with; it may only grow"
        )
    return bool(wanted > had)


def _read(folder: Path) -> dict[str, Any]:
    path = folder / "chosen.json"
    return dict(json.loads(path.read_text())) if path.exists() else {}


def _write(folder: Path, chosen: dict[str, Any]) -> None:
    path, partial = folder / "chosen.json", folder / ".chosen.partial"
    partial.write_text(json.dumps(chosen, indent=1) + "\n")
    partial.replace(path)
