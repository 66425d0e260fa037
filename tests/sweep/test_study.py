"""Trials in a journal, without runs, also after a kill."""

from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial, TrialState

from lightning_liver.errors import LiverError
from lightning_liver.sweep.reporter import TrialReporter
from lightning_liver.sweep.study import JOURNAL, attach, begin, best, locked_study, running, tell

SPACE = {"x": FloatDistribution(0, 5), "loss": CategoricalDistribution(("bce", "dice"))}


def sampler(seed: int) -> optuna.samplers.TPESampler:
    return optuna.samplers.TPESampler(seed=seed, n_startup_trials=3)


def score(trial: FrozenTrial) -> float:
    return float(-((trial.params["x"] - 2) ** 2) + (trial.params["loss"] == "dice"))


def optimise(folder: Path, total: int, together: int, *, dies_in: int | None = None) -> list[tuple[Any, ...]]:
    """Run trials in batches; a process that dies in a batch has begun all of it and told nothing."""
    with locked_study(folder, direction="maximize", settings={}) as study:
        while True:
            batch = running(study)[:together]
            more = min(together - len(batch), total - len(study.get_trials()))
            batch += [begin(study, SPACE, seed=0, sampler=sampler) for _ in range(more)]
            if not batch or batch[-1].number == dies_in:
                return [(t.number, t.state, t.params, t.value) for t in study.get_trials()]
            for trial in batch:
                tell(study, trial, value=score(trial), notes={})


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(together=st.integers(1, 3), kills=st.lists(st.integers(0, 7), max_size=3))
def test_killed_and_resumed_study_has_the_trials_of_an_uninterrupted_one(
    tmp_path_factory: pytest.TempPathFactory, together: int, kills: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("study")
    for number in kills:
        optimise(folder / "killed", 8, together, dies_in=number)
    whole = optimise(folder / "whole", 8, together)
    assert optimise(folder / "killed", 8, together) == whole
    assert len({params["x"] for _, _, params, _ in whole}) == 8, "each trial has its own seed"


def test_higher_n_trials_continues_a_study_and_an_equal_one_runs_nothing(tmp_path: Path) -> None:
    first = optimise(tmp_path, 4, 1)
    assert optimise(tmp_path, 4, 1) == first
    assert optimise(tmp_path, 6, 1) == optimise(tmp_path / "other", 6, 1)
    assert optimise(tmp_path, 6, 1)[:4] == first


def test_line_torn_by_a_full_disk_is_dropped(tmp_path: Path) -> None:
    first = optimise(tmp_path, 2, 1)
    with (tmp_path / JOURNAL).open("ab") as file:
        file.write(b'{"op_code":4,"wor')
    assert optimise(tmp_path, 3, 1)[:2] == first


def test_renamed_folder_holds_the_same_study(tmp_path: Path) -> None:
    first = optimise(tmp_path / "a", 2, 1)
    (tmp_path / "a").rename(tmp_path / "b")
    assert optimise(tmp_path / "b", 2, 1) == first


def test_study_is_locked_by_one_process_and_keeps_its_settings(tmp_path: Path) -> None:
    with (
        locked_study(tmp_path, direction="maximize", settings={"metric": "a"}),
        pytest.raises(LiverError, match="another process"),
        locked_study(tmp_path, direction="maximize", settings={"metric": "a"}),
    ):
        pass
    with (
        pytest.raises(LiverError, match="metric a, not b"),
        locked_study(tmp_path, direction="maximize", settings={"metric": "b"}),
    ):
        pass


def test_best_trial_is_complete_and_others_keep_their_reason(tmp_path: Path) -> None:
    with locked_study(tmp_path, direction="minimize", settings={}) as study:
        assert best(study) is None
        trials = [begin(study, SPACE, seed=0, sampler=sampler) for _ in range(3)]
        tell(study, trials[0], notes={"reason": "no memory"})
        tell(study, trials[1], pruned=True, notes={})
        tell(study, trials[2], value=3.0, notes={"folder": "run"})
        best_trial = best(study)
        assert best_trial is not None
        assert (best_trial.number, best_trial.user_attrs) == (2, {"folder": "run"})
        assert study.get_trials()[0].user_attrs == {"reason": "no memory"}
        assert [t.state for t in study.get_trials()] == [TrialState.FAIL, TrialState.PRUNED, TrialState.COMPLETE]


@pytest.mark.filterwarnings("error")
def test_step_reported_before_a_kill_is_not_reported_again(tmp_path: Path) -> None:
    pruner = optuna.pruners.ThresholdPruner(lower=0.5)
    with locked_study(tmp_path, direction="maximize", settings={}) as study:
        begin(study, SPACE, seed=0, sampler=sampler)
        place = {"journal": str(tmp_path / JOURNAL), "study": study.study_name, "number": 0, "metric": "m"}
        assert not TrialReporter(**place, pruner=pruner)(0, 0.6)
        again = TrialReporter(**place, pruner=pruner)
        assert not again(0, 0.1)
        assert again(1, 0.1)
        assert not TrialReporter(**place, pruner=None)(2, 0.0)
        assert study.get_trials()[0].intermediate_values == {0: 0.6, 1: 0.1, 2: 0.0}
        assert attach(tmp_path / JOURNAL, study.study_name, 0, pruner).number == 0
