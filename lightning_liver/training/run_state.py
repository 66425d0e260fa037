"""State of a run folder: its config, its choices and how far it is, in chosen.json and metrics.json."""

import json
import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from filelock import Timeout

from lightning_liver.config import VERSION, budget_of
from lightning_liver.errors import LiverError, Pruned, Unfinished
from lightning_liver.files import clear_partials, held_lock, refuse_links, write_whole
from lightning_liver.readers import parsing, read_json
from lightning_liver.run_folder import RunFolder
from lightning_liver.tables import write_json_whole
from lightning_liver.training.settings import TrainerOptions, resolve_auto
from lightning_liver.types import Metrics

_KEPT = ("accelerator", "precision", "channels_last", "threads")
_BUDGETS = ("max_epochs", "max_steps", "max_minutes")
_PATIENCE_S = 2  # liver-compare --status holds the lock for a moment


class RunState:
    """State of the run in a folder, read once and written whole at every change.

    chosen.json has what was chosen by measuring, which is not chosen anew, and how far the run is; metrics.json is
    written last, so a folder with it holds a complete run.

    Args:
        writes: False keeps what is recorded to itself, as in processes that train together with the first one.
    """

    def __init__(self, folder: Path, *, writes: bool = True) -> None:
        self.folder, self.writes = folder, writes
        self.files = RunFolder(folder)
        self._known: dict[str, Any] = {}
        self.read_again()

    def read_again(self) -> None:
        """Read what another process of this run has recorded."""
        chosen = self.files.chosen
        self._known = read_json(chosen) if chosen.exists() else {}

    @property
    def steps(self) -> int | None:
        """Number of steps that a budget in minutes was found to hold."""
        return self._known.get("steps")

    @property
    def machine(self) -> dict[str, Any]:
        """Return what was chosen by measuring and stays: accelerator, precision, channels_last and threads."""
        return {name: self._known.get(name) for name in _KEPT}

    @property
    def loggers(self) -> dict[str, str]:
        """Identifiers of the run in tracking services, by the names of the loggers."""
        return dict(self._known.get("loggers") or {})

    @property
    def is_fitted(self) -> bool:
        """True once training came to its end; early stopping leaves no other trace."""
        return bool(self._known.get("fitted"))

    @property
    def is_complete(self) -> bool:
        return self.is_fitted and self.files.metrics.exists()

    @property
    def budget(self) -> dict[str, Any]:
        """Budget of the run by option."""
        return {name: self._known[name] for name in _BUDGETS if name in self._known}

    def metrics(self) -> Metrics:
        """Return the metrics of a complete run."""
        return read_json(self.files.metrics)

    def record(self, **known: Any) -> None:
        """Write what the run found out.

        Args:
            known: `steps`, `fitted`, `compile`, `channels_last`, `loggers`; of a trial `pruned`, the reason, or
                `validated`, the score.
        """
        if not self.writes:
            self._known |= known
            return
        if not self.files.chosen.exists():
            _copy(self.files.hydra, self.files.hydra_kept)
        self._known |= known
        write_whole(self.files.chosen, json.dumps(self._known, indent=1) + "\n")

    def reopen(self) -> None:
        """Remove metrics.json: the run is incomplete from now on."""
        self.files.metrics.unlink(missing_ok=True)

    def complete(self, metrics: Metrics) -> None:
        """Write metrics.json."""
        write_json_whole(self.files.metrics, metrics)

    def raise_if_pruned(self) -> None:
        """Raise Pruned if the run was given up."""
        if reason := self._known.get("pruned"):
            raise Pruned(reason)

    def bind(self, options: TrainerOptions, config: str) -> TrainerOptions:
        """Return the options without any "auto"; a run that began earlier keeps its choices.

        Its budget may be longer now, then it is no longer fitted. A new run has the folder from the first record on.

        Args:
            config: hash of all that must not differ when the folder is used again.

        Raises:
            LiverError: another run is in the folder, its budget was longer or of the other kind, or a file is damaged.
        """
        if not self._known:
            resolved = resolve_auto(options)
            self._known = {name: getattr(resolved, name) for name in (*_KEPT, *_BUDGETS)} | {
                "config": config,
                "version": VERSION,
            }
            return resolved
        if self._known.get("config") != config:
            _copy(self.files.hydra_kept, self.files.hydra)  # Hydra wrote the new config before anyone was asked
            raise LiverError(
                f"{self.folder} holds a run with another config, or an earlier one on LiTS without data.patients, in "
                "which scans of a patient may both train and test. Name another folder: hydra.run.dir=..."
            )
        with parsing(self.files.chosen):
            self._known.setdefault("max_steps", None)  # runs began before it was an option
            self._known.setdefault("channels_last", self._known["accelerator"] == "cuda")  # fixed before it was one
            kept = {name: self._known[name] for name in (*_KEPT, "compile") if name in self._known}
            options = replace(options, **kept)
            is_longer, steps = _longer(options, self._known), self.steps
            if is_longer and steps is not None and options.max_minutes is not None:
                steps = int(steps * options.max_minutes / self._known["max_minutes"])
        if is_longer:
            self.record(**{name: getattr(options, name) for name in _BUDGETS}, steps=steps, fitted=False)
        return options


@contextmanager
def locked(folder: Path) -> Iterator[RunState]:
    """Hold a run folder and yield its state.

    Raises:
        Unfinished: another process runs in it.
        LiverError: a link in it leads out of it.
    """
    refuse_links(folder)
    try:
        files = RunFolder(folder)
        with held_lock(files.lock, timeout_s=_PATIENCE_S):
            for place in (folder, files.checkpoints):
                clear_partials(place)
            write_whole(files.holder, f"{platform.node()} {os.getpid()}")
            try:
                yield RunState(folder)
            finally:
                with suppress(OSError):
                    files.holder.unlink()
    except Timeout:
        raise Unfinished(
            f"{folder}: another process runs in this folder. Name another one: hydra.run.dir=..."
        ) from None


def _longer(options: TrainerOptions, earlier: dict[str, Any]) -> bool:
    name = options.budget
    if name != budget_of(earlier):
        raise LiverError("a run counts epochs, steps or minutes to its end: resume it with the one it began with")
    wanted, had = getattr(options, name), earlier[name]
    if wanted < had:
        raise LiverError(f"trainer.{name}={wanted:g} is less than the {had:g} that the run has; it may only grow")
    return bool(wanted > had)


def _copy(source: Path, target: Path) -> None:
    """Copy the files of a folder, if it exists; shutil.copytree would hide why one could not be written."""
    if source.is_dir():
        target.mkdir(exist_ok=True)
        for path in source.iterdir():
            shutil.copy2(path, target / path.name)
