"""Reporter of a run's scores to its trial, in whatever process the run is."""

import logging
from pathlib import Path

from optuna.pruners import BasePruner, NopPruner

from lightning_liver.sweep.study import attach

log = logging.getLogger(__name__)


class TrialReporter:
    """Reporter of a trial's scores, step by step, to the journal of its study.

    Args:
        journal: file of the study.
        study: name of the study.
        number: number of the trial.
        metric: name of the score.
        pruner: None never prunes.
        tested: False ends the run after its validation.
    """

    def __init__(
        self, *, journal: str, study: str, number: int, metric: str, pruner: BasePruner | None, tested: bool = True
    ) -> None:
        self.metric, self.tested = metric, tested
        self._trial = attach(Path(journal), study, number, pruner or NopPruner())
        self._reported = set(self._trial.study.get_trials()[number].intermediate_values)

    def __call__(self, step: int, value: float) -> bool:
        """Report a score, unless it was reported before a kill; return True if the trial should be pruned."""
        if step not in self._reported:
            self._trial.report(value, step)
            self._reported.add(step)
        return self._trial.should_prune()
