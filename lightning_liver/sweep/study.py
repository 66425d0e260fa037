"""A study in a journal: which trials come next, and what came of them.

A trial is in the journal, whole, before it runs, and is told once it has run; between the two it is running, also after
its process was killed. What the n-th trial tries depends on the seed, on n and on the trials before it and on nothing
else, so a study that was taken up again has the trials of one that was never interrupted.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import optuna
from filelock import FileLock, Timeout
from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState

from lightning_liver.errors import LiverError

JOURNAL = "optuna.log"

_SETTINGS = "settings"
_LOCK = ".optuna.lock"

Direction = Literal["maximize", "minimize"]
Space = Mapping[str, BaseDistribution]


@contextmanager
def alone_with(folder: Path, *, direction: Direction, settings: Mapping[str, Any]) -> Iterator[optuna.Study]:
    """Hold the study of a folder, which is made if need be.

    Args:
        settings: plain values that trials must share to be compared.

    Raises:
        LiverError: another process holds it, or it has other settings.
    """
    folder.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with FileLock(folder / _LOCK, timeout=0):
            _drop_torn_line(folder / JOURNAL)
            storage = _storage(folder / JOURNAL)
            names = optuna.get_all_study_names(storage)  # the folder may have been renamed
            study = optuna.create_study(
                storage=storage, study_name=names[0] if names else folder.name, direction=direction, load_if_exists=True
            )
            earlier = study.user_attrs.setdefault(_SETTINGS, dict(settings))
            if changed := sorted(name for name, value in settings.items() if earlier.get(name) != value):
                told = ", ".join(f"{name} {earlier.get(name)}, not {settings[name]}" for name in changed)
                raise LiverError(f"{folder} holds a study with {told}. Name another folder: hydra.sweep.dir=...")
            study.set_user_attr(_SETTINGS, dict(settings))
            yield study
    except Timeout:
        raise LiverError(f"{folder}: another process runs the study in this folder") from None


def attached(journal: Path, study: str, number: int, pruner: BasePruner) -> Trial:
    """A trial that another process began, to report to."""
    opened = optuna.load_study(study_name=study, storage=_storage(journal), pruner=pruner)
    return _trial(opened, number)


def running(study: optuna.Study) -> list[FrozenTrial]:
    """What was begun and not told yet."""
    return study.get_trials(states=(TrialState.RUNNING,))


def begin(study: optuna.Study, space: Space, *, seed: int, sampler: Callable[[int], BaseSampler]) -> FrozenTrial:
    """One more trial, running.

    Args:
        sampler: makes one from a seed; every trial gets its own, as generator states do not outlive a process.
    """
    trials = study.get_trials()
    own_seed = int(np.random.SeedSequence([seed, len(trials)]).generate_state(1)[0])
    # chosen beside the journal: parameter by parameter, a kill would leave half of them there
    beside = optuna.create_study(direction=study.direction, sampler=sampler(own_seed))
    beside.add_trials(trials)
    beside.ask(dict(space))
    study.add_trial(beside.trials[-1])
    return study.get_trials()[-1]


def tell(
    study: optuna.Study,
    trial: FrozenTrial,
    *,
    value: float | None = None,
    pruned: bool = False,
    about: Mapping[str, str],
) -> FrozenTrial:
    """End a trial: complete with its value, pruned, or else failed; `about` is kept with it."""
    for name, text in about.items():
        _trial(study, trial.number).set_user_attr(name, text)
    state = TrialState.PRUNED if pruned else TrialState.FAIL if value is None else TrialState.COMPLETE
    return study.tell(trial.number, value, state=state)


def in_state(study: optuna.Study, state: TrialState) -> list[FrozenTrial]:
    return study.get_trials(states=(state,))


def best(study: optuna.Study) -> FrozenTrial | None:
    """The best of the complete trials."""
    return study.best_trial if in_state(study, TrialState.COMPLETE) else None


def _trial(study: optuna.Study, number: int) -> Trial:
    # Optuna has no public way to take up a trial by its number
    return Trial(study, study.get_trials()[number]._trial_id)


def _storage(journal: Path) -> JournalStorage:
    # a relative path makes a dangling lock, which after a kill is waited for without end
    return JournalStorage(JournalFileBackend(str(journal.resolve())))


def _drop_torn_line(journal: Path) -> None:
    """A full disk leaves half a line, which would make the next one unreadable."""
    if journal.exists() and not (content := journal.read_bytes()).endswith(b"\n"):
        os.truncate(journal, content.rfind(b"\n") + 1)
