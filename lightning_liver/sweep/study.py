"""A study of Optuna, kept in a journal file: its next trials and their outcomes.

A trial is written to the journal before it runs, with all its parameters, and its outcome when it has ended. Until then
its state is RUNNING, even if its process was killed. The n-th trial depends only on the seed, on n and on the trials
before it, so an interrupted study that is resumed has the same trials as one without an interruption.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import optuna
from filelock import Timeout
from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState

from lightning_liver.errors import LiverError
from lightning_liver.files import held_lock

JOURNAL = "optuna.log"

_SETTINGS = "settings"
_LOCK = ".optuna.lock"

Direction = Literal["maximize", "minimize"]
Space = Mapping[str, BaseDistribution]


@contextmanager
def locked_study(folder: Path, *, direction: Direction, settings: Mapping[str, Any]) -> Iterator[optuna.Study]:
    """Lock and open the study of a folder, created if it does not exist.

    Args:
        settings: options that must be equal for all trials of a study, or their scores cannot be compared.

    Raises:
        LiverError: another process has locked it, or it has other settings.
    """
    folder.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with held_lock(folder / _LOCK, timeout_s=0):
            _drop_torn_line(folder / JOURNAL)
            storage = _storage(folder / JOURNAL)
            names = optuna.get_all_study_names(storage)  # the folder may have been renamed
            study = optuna.create_study(
                storage=storage, study_name=names[0] if names else folder.name, direction=direction, load_if_exists=True
            )
            earlier = study.user_attrs.setdefault(_SETTINGS, dict(settings))
            if changed := sorted(name for name, value in settings.items() if earlier.get(name) != value):
                differing = ", ".join(f"{name} {earlier.get(name)}, not {settings[name]}" for name in changed)
                raise LiverError(f"{folder} holds a study with {differing}; give another folder: hydra.sweep.dir=...")
            study.set_user_attr(_SETTINGS, dict(settings))
            yield study
    except Timeout:
        raise LiverError(f"{folder}: another process runs the study in this folder; wait for it") from None


def attach(journal: Path, study: str, number: int, pruner: BasePruner) -> Trial:
    """Open a trial that another process began, to report scores to it."""
    opened = optuna.load_study(study_name=study, storage=_storage(journal), pruner=pruner)
    return _trial(opened, number)


def running(study: optuna.Study) -> list[FrozenTrial]:
    """Return the trials that were begun and have no outcome yet."""
    return study.get_trials(states=(TrialState.RUNNING,))


def begin(study: optuna.Study, space: Space, *, seed: int, sampler: Callable[[int], BaseSampler]) -> FrozenTrial:
    """Choose the parameters of the next trial and write it to the journal.

    Args:
        sampler: builds a sampler from a seed. Each trial has its own, since generator states are lost with a process.
    """
    trials = study.get_trials()
    own_seed = int(np.random.SeedSequence([seed, len(trials)]).generate_state(1)[0])
    # drawn in a copy in memory: in the journal, a killed process would leave a trial with a part of its parameters
    scratch = optuna.create_study(direction=study.direction, sampler=sampler(own_seed))
    scratch.add_trials(trials)
    scratch.ask(dict(space))
    study.add_trial(scratch.trials[-1])
    return study.get_trials()[-1]


def tell(
    study: optuna.Study,
    trial: FrozenTrial,
    *,
    value: float | None = None,
    pruned: bool = False,
    notes: Mapping[str, str],
) -> FrozenTrial:
    """Record the end of a trial with its notes: pruned, complete with a value, or failed without one."""
    for name, text in notes.items():
        _trial(study, trial.number).set_user_attr(name, text)
    state = TrialState.PRUNED if pruned else TrialState.FAIL if value is None else TrialState.COMPLETE
    return study.tell(trial.number, value, state=state)


def in_state(study: optuna.Study, state: TrialState) -> list[FrozenTrial]:
    """Return the trials in a state."""
    return study.get_trials(states=(state,))


def best(study: optuna.Study) -> FrozenTrial | None:
    """Return the best complete trial, None if there is none."""
    return study.best_trial if in_state(study, TrialState.COMPLETE) else None


def _trial(study: optuna.Study, number: int) -> Trial:
    # Optuna has no public way to open a trial by its number
    return Trial(study, study.get_trials()[number]._trial_id)


def _storage(journal: Path) -> JournalStorage:
    # Optuna locks by a symbolic link to the file. With a relative path the link is broken, and after a kill the next
    # process would wait for it forever
    return JournalStorage(JournalFileBackend(str(journal.resolve())))


def _drop_torn_line(journal: Path) -> None:
    """Remove an incomplete last line, which a full disk can leave and which would make the next line unreadable."""
    if journal.exists() and not (content := journal.read_bytes()).endswith(b"\n"):
        os.truncate(journal, content.rfind(b"\n") + 1)
