"""What a run says to its trial, wherever it runs."""

import logging
from pathlib import Path

from optuna.pruners import BasePruner, NopPruner

from lightning_liver.sweep.study import attached

log = logging.getLogger(__name__)


class Reports:
    """Scores of a trial, step by step, in the journal of its study.

    Args:
        journal: the study's.
        study: its name.
        number: the trial's.
        metric: what is reported.
        pruner: None never gives up.
    """

    def __init__(self, *, journal: str, study: str, number: int, metric: str, pruner: BasePruner | None) -> None:
        self.metric = metric
        self._trial = attached(Path(journal), study, number, pruner or NopPruner())
        self._told = set(self._trial.study.get_trials()[number].intermediate_values)

    def __call__(self, step: int, value: float) -> bool:
        """Report a score, unless it was before a kill; whether the trial should be given up."""
        if step not in self._told:
            self._trial.report(value, step)
            self._told.add(step)
        return self._trial.should_prune()
