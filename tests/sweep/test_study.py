"""Trials in a journal, without runs: what comes of a kill."""

from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial, TrialState

from lightning_liver.errors import LiverError
from lightning_liver.sweep.reporter import Reports
from lightning_liver.sweep.study import JOURNAL, alone_with, attached, begin, best, running, tell

SPACE = {"x": FloatDistribution(0, 5), "loss": CategoricalDistribution(("bce", "dice"))}


def sampler(seed: int) -> optuna.samplers.TPESampler:
    return optuna.samplers.TPESampler(seed=seed, n_startup_trials=3)


def score(trial: FrozenTrial) -> float:
    return float(-((trial.params["x"] - 2) ** 2) + (trial.params["loss"] == "dice"))


def optimise(folder: Path, total: int, together: int, *, dies_in: int | None = None) -> list[tuple[Any, ...]]:
    """Trials in batches; a process that dies in a batch has begun all of it and told nothing."""
    with alone_with(folder, direction="maximize", settings={}) as study:
        while True:
            batch = running(study)[:together]
            more = min(together - len(batch), total - len(study.get_trials()))
            batch += [begin(study, SPACE, seed=0, sampler=sampler) for _ in range(more)]
            if not batch or batch[-1].number == dies_in:
                return [(t.number, t.state, t.params, t.value) for t in study.get_trials()]
            for trial in batch:
                tell(study, trial, value=score(trial), about={})


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(together=st.integers(1, 3), kills=st.lists(st.integers(0, 7), max_size=3))
def test_a_study_that_was_killed_has_the_trials_of_one_that_was_not(
    tmp_path_factory: pytest.TempPathFactory, together: int, kills: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("study")
    for number in kills:
        optimise(folder / "killed", 8, together, dies_in=number)
    whole = optimise(folder / "whole", 8, together)
    assert optimise(folder / "killed", 8, together) == whole
    assert len({params["x"] for _, _, params, _ in whole}) == 8, "a seed a trial: none repeats the first"


def test_more_trials_go_on_and_as_many_run_nothing(tmp_path: Path) -> None:
    first = optimise(tmp_path, 4, 1)
    assert optimise(tmp_path, 4, 1) == first
    assert optimise(tmp_path, 6, 1) == optimise(tmp_path / "other", 6, 1)
    assert optimise(tmp_path, 6, 1)[:4] == first


def test_a_line_that_a_full_disk_tore_is_dropped(tmp_path: Path) -> None:
    first = optimise(tmp_path, 2, 1)
    with (tmp_path / JOURNAL).open("ab") as file:
        file.write(b'{"op_code":4,"wor')
    assert optimise(tmp_path, 3, 1)[:2] == first


def test_a_renamed_folder_holds_the_same_study(tmp_path: Path) -> None:
    first = optimise(tmp_path / "a", 2, 1)
    (tmp_path / "a").rename(tmp_path / "b")
    assert optimise(tmp_path / "b", 2, 1) == first


def test_a_study_is_held_by_one_process_and_keeps_its_settings(tmp_path: Path) -> None:
    with (
        alone_with(tmp_path, direction="maximize", settings={"metric": "a"}),
        pytest.raises(LiverError, match="another process"),
        alone_with(tmp_path, direction="maximize", settings={"metric": "a"}),
    ):
        pass
    with (
        pytest.raises(LiverError, match="metric a, not b"),
        alone_with(tmp_path, direction="maximize", settings={"metric": "b"}),
    ):
        pass


def test_failed_and_pruned_trials_are_never_the_best_and_keep_their_reason(tmp_path: Path) -> None:
    with alone_with(tmp_path, direction="minimize", settings={}) as study:
        assert best(study) is None
        trials = [begin(study, SPACE, seed=0, sampler=sampler) for _ in range(3)]
        tell(study, trials[0], about={"reason": "no memory"})
        tell(study, trials[1], pruned=True, about={})
        tell(study, trials[2], value=3.0, about={"folder": "run"})
        chosen = best(study)
        assert chosen is not None
        assert (chosen.number, chosen.user_attrs) == (2, {"folder": "run"})
        assert study.get_trials()[0].user_attrs == {"reason": "no memory"}
        assert [t.state for t in study.get_trials()] == [TrialState.FAIL, TrialState.PRUNED, TrialState.COMPLETE]


@pytest.mark.filterwarnings("error")
def test_a_step_told_before_a_kill_is_not_told_again(tmp_path: Path) -> None:
    pruner = optuna.pruners.ThresholdPruner(lower=0.5)
    with alone_with(tmp_path, direction="maximize", settings={}) as study:
        begin(study, SPACE, seed=0, sampler=sampler)
        place = {"journal": str(tmp_path / JOURNAL), "study": study.study_name, "number": 0, "metric": "m"}
        assert not Reports(**place, pruner=pruner)(0, 0.6)
        again = Reports(**place, pruner=pruner)
        assert not again(0, 0.1)
        assert again(1, 0.1)
        assert not Reports(**place, pruner=None)(2, 0.0)
        assert study.get_trials()[0].intermediate_values == {0: 0.6, 1: 0.1, 2: 0.0}
        assert attached(tmp_path / JOURNAL, study.study_name, 0, pruner).number == 0
