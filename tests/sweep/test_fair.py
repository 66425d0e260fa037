"""Equally many trials for each contender, the same proposals, and the chosen settings tested, without training."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import hydra
import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from lightning_liver.config import folder as conf
from lightning_liver.errors import LiverError, Pruned
from lightning_liver.runs.timing import Timing, write_timing
from lightning_liver.sweep.contenders import fight_of, repeat_of_trials
from lightning_liver.sweep.fair import sweep
from lightning_liver.sweep.fair_table import NAME, ContenderResult, FairResult, fair_text, read_fair, write_fair
from lightning_liver.sweep.quasi_random import QuasiRandom, value_at
from lightning_liver.sweep.rising import is_rising
from lightning_liver.sweep.trials import Setup

LR = FloatDistribution(1e-4, 1e-2, log=True)
DATA = OmegaConf.create({"folds": 5, "split": None})


class Numbered:
    """A trial of which only the number counts."""

    def __init__(self, number: int) -> None:
        self.number = number


def proposal(names: list[str], name: str, space: BaseDistribution, number: int, seed: int = 0) -> Any:
    return QuasiRandom(names, seed).sample_independent(None, Numbered(number), name, space)


def fight(*arguments: str, **params: str):
    return fight_of(params, arguments, OverridesParser.create())


def test_contenders_meet_the_same_learning_rates_whatever_else_they_tune() -> None:
    alone = [proposal(["optimizer.lr"], "optimizer.lr", LR, n) for n in range(12)]
    assert alone == [proposal(["optimizer.lr", "loss.gamma"], "optimizer.lr", LR, n) for n in range(12)]
    assert alone != [proposal(["optimizer.lr"], "optimizer.lr", LR, n, seed=1) for n in range(12)]
    assert len({*alone}) == 12


@given(st.integers(0, 50), st.integers(0, 99))
def test_eight_proposals_in_a_row_reach_all_parts_of_the_space(first: int, seed: int) -> None:
    unit = FloatDistribution(0, 1)
    found = [proposal(["x"], "x", unit, first + n, seed) for n in range(8)]
    assert max(sorted(found)[n + 1] - sorted(found)[n] for n in range(7)) < 0.26


@given(
    st.floats(0, 1, exclude_max=True),
    st.sampled_from(
        [
            LR,
            FloatDistribution(0, 4),
            FloatDistribution(0.30004, 0.30007),
            FloatDistribution(0, 0.4, step=0.1),
            IntDistribution(1, 5),
            IntDistribution(3, 9, step=3),
            IntDistribution(4, 64, log=True),
            CategoricalDistribution(("a", "b")),
        ]
    ),
)
def test_value_lies_in_its_space(place: float, space: BaseDistribution) -> None:
    value = value_at(space, place)
    assert space._contains(space.to_internal_repr(value))
    if isinstance(space, FloatDistribution | IntDistribution):
        assert isinstance(value, type(space.low))
        assert value_at(space, 0) == space.low


def test_contenders_are_all_combinations_but_for_seed_and_fold() -> None:
    found = fight("loss=dice,focal", "seed=0,1", "data.context=0,1", "data.size=64", "x=interval(0,1)", loss="bce,dice")
    assert [each.name for each in found.contenders] == [
        "loss=dice data.context=0",
        "loss=dice data.context=1",
        "loss=focal data.context=0",
        "loss=focal data.context=1",
    ]
    assert found.contenders[0].overrides == ["loss=dice", "data.context=0", "data.size=64"]
    assert found.repeats == [["seed=0"], ["seed=1"]]
    assert found.spaces == {"x": "interval(0,1)"}
    assert found.given == {"loss", "seed", "data.context", "data.size"}
    assert len({each.folder for each in found.contenders}) == 4


@pytest.mark.parametrize("arguments", [(), ("loss=dice",), ("seed=0,1",), ("loss=dice", "seed=0,1")])
def test_one_contender_is_refused(arguments: tuple[str, ...]) -> None:
    with pytest.raises(LiverError, match="expected contenders"):
        fight(*arguments)


@pytest.mark.parametrize(
    ("repeats", "expected"),
    [
        (("seed=3,1", "data.fold=0"), ["seed=3", "data.fold=0"]),
        (("seed=0,1", "data.fold=0,1"), ["seed=0", "data.fold=1"]),
        (("data.fold=3,4,0",), ["data.fold=0"]),
        (("data.fold=4,2,0",), ["data.fold=2"]),
        ((), []),
    ],
)
def test_patients_that_choose_a_setting_are_tested_in_no_fold(repeats: tuple[str, ...], expected: list[str]) -> None:
    assert repeat_of_trials(fight("loss=a,b", *repeats).repeats, DATA) == expected


def test_all_folds_are_refused_unless_the_split_is_given_by_names() -> None:
    repeats = fight("loss=a,b", "data.fold=0,1,2,3,4").repeats
    with pytest.raises(LiverError, match=r"data.fold=0,1,2,3,4: .*leave out one"):
        repeat_of_trials(repeats, DATA)
    named = OmegaConf.merge(DATA, {"split": {"train": [1], "val": [2], "test": [3]}})
    assert repeat_of_trials(repeats, named) == ["data.fold=0"]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([0.1] * 7, None),
        ([0.1] * 8, False),
        ([n / 10 for n in range(8)], True),
        ([n / 10 for n in range(8)][::-1], False),
        ([0, 0, 0, 0, 0.5, 0.5, 0.9, 0.2], False),
        ([0, 0.3, 0.5, 0.6, 0.65, 0.7, 0.72, 0.71], True),
        ([0, 0.3, 0.5, 0.6, 0.7, 0.7, 0.7, 0.7], False),
    ],
)
def test_curve_rises_if_its_last_quarter_is_above_the_one_before_by_more_than_chance(
    scores: list[float], expected: bool | None
) -> None:
    assert is_rising(scores) is expected


def test_table_is_read_back_and_says_what_was_chosen(tmp_path: Path) -> None:
    assert read_fair(tmp_path) is None
    chosen = ContenderResult(
        contender="loss=focal",
        trials=6,
        pruned=2,
        failed=1,
        search_s=100.0,
        chosen={"optimizer.lr": "0.004", "loss.gamma": "2.5"},
        score=0.5,
        at_end=["loss.gamma"],
        rising=[True, False, None],
    )
    other = ContenderResult(contender="loss=dice", trials=6, pruned=0, failed=0, search_s=100.0)
    result = FairResult(
        metric="val/x", trials=6, repeat="seed=0 data.fold=1", budget="8 epochs", contenders=[other, chosen]
    )
    write_fair(tmp_path, result)
    assert read_fair(tmp_path) == result
    assert result.chosen == {"loss=focal": chosen.chosen}
    text = fair_text(result)
    assert text.splitlines()[4] == "loss=focal  0.004         2.5*             6       2       1  2 min   0.500  1 of 2"
    assert "6 trials of 8 epochs for each contender with seed=0 data.fold=1" in text
    assert "wider range" in text
    assert "wider range" not in fair_text(replace(result, contenders=[other]))
    for damaged in ("{}", (tmp_path / NAME).read_text().replace('"score": 0.5', '"score": "best"', 1)):
        (tmp_path / NAME).write_text(damaged)
        with pytest.raises(LiverError, match=r"fair.json: damaged .*run the same sweep again"):
            read_fair(tmp_path)


Score = Callable[[dict[str, str]], float | Exception]


class Launcher:
    """Runs jobs by a formula; `log` has the options of each job, and the process dies before job `dies_at`."""

    log: ClassVar[list[dict[str, str]]] = []

    def __init__(self, folder: Path, score: Score, dies_at: int | None) -> None:
        self.folder, self.score, self.left = folder, score, dies_at

    def launch(self, jobs: Sequence[Sequence[str]], initial_job_idx: int) -> list[JobReturn]:
        return [self._ended(job) for job in jobs]

    def _ended(self, job: Sequence[str]) -> JobReturn:
        if self.left == 0:
            raise KeyboardInterrupt
        self.left = None if self.left is None else self.left - 1
        options = dict(each.split("=", 1) for each in job)
        self.log.append(options)
        run = self.folder / "-".join(each for each in job if not each.startswith("trial=")).replace("/", "-")
        run.mkdir(exist_ok=True)
        write_timing(run, Timing(fit_s=10.0))
        score = self.score(options)
        status = JobStatus.FAILED if isinstance(score, Exception) else JobStatus.COMPLETED
        value = score if isinstance(score, Exception) else {"val/mean/dice_per_case": score}
        place = OmegaConf.create({"hydra": {"runtime": {"output_dir": str(run)}}})
        return JobReturn(overrides=job, hydra_cfg=place, status=status, _return_value=value)


def formula(options: dict[str, str]) -> float:
    return -abs(float(options["optimizer.lr"]) - 0.003) - 0.001 * float(options.get("loss.gamma", 0))


COMMAND = ("loss=dice,focal", "seed=0,1", "data.fold=0,1")


def run(
    folder: Path, *arguments: str, score: Score = formula, dies_at: int | None = None, **options: Any
) -> tuple[list[dict[str, str]], FairResult | None]:
    """Run a fair comparison; return the options of its jobs and, unless it died, its result."""
    folder.mkdir(exist_ok=True)
    Launcher.log.clear()
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(conf()), version_base="1.3"):
        typed = ["hydra/sweeper=fair", f"hydra.sweep.dir={folder}"]
        config = hydra.compose("train", typed, return_hydra_config=True)
        OmegaConf.set_readonly(config.hydra, False)
        config.hydra.job.config_name = "train"
        context: Any = GlobalHydra.instance().hydra
        sweeper: Any = OmegaConf.to_container(config.hydra.sweeper)
        given = {name: value for name, value in sweeper.items() if not name.startswith("_")}
        given |= {"trials": 3, "pruner": config.hydra.sweeper.pruner} | options
        launcher: Any = Launcher(folder, score, dies_at)
        try:
            return Launcher.log, sweep(Setup(given, config, context, launcher), arguments or COMMAND)
        except KeyboardInterrupt:
            return list(Launcher.log), None


def test_each_contender_has_equally_many_untested_trials_of_one_seed_and_fold(tmp_path: Path) -> None:
    jobs, result = run(tmp_path)
    trials, tested = [job for job in jobs if "trial" in job], [job for job in jobs if "trial" not in job]
    assert [job["loss"] for job in trials] == ["dice", "focal"] * 3
    assert {(job["seed"], job["data.fold"]) for job in trials} == {("0", "1")}
    assert all("tested:false" in job["trial"] for job in trials)
    assert [job["optimizer.lr"] for job in trials[::2]] == [job["optimizer.lr"] for job in trials[1::2]]
    assert {job.get("loss.gamma") for job in trials[::2]} == {None}
    assert [(job["loss"], job["seed"], job["data.fold"]) for job in tested] == [
        (loss, seed, fold) for seed in "01" for fold in "01" for loss in ("dice", "focal")
    ]
    assert result is not None
    for each in result.contenders:
        own = [job for job in trials if each.contender == f"loss={job['loss']}"]
        best = max(own, key=formula)
        assert each.chosen == {name: best[name] for name in each.chosen}
        assert (each.trials, each.search_s, each.score) == (3, 30.0, formula(best))
        mine = [job for job in tested if job["loss"] == best["loss"]]
        assert {tuple(job[name] for name in each.chosen) for job in mine} == {tuple(each.chosen.values())}


@pytest.mark.slow
@pytest.mark.parametrize("dies_at", [1, 4, 7])
def test_killed_comparison_goes_on_with_the_same_trials_and_ends_with_the_same_result(
    tmp_path: Path, dies_at: int
) -> None:
    whole, result = run(tmp_path / "whole")
    whole = [{**job, "trial": ""} for job in whole]
    first, _ = run(tmp_path / "killed", dies_at=dies_at)
    second, again = run(tmp_path / "killed")
    assert again == result
    told = min(dies_at - dies_at % 2, 6)  # of a round that dies nothing is told
    assert [{**job, "trial": ""} for job in [*first[:told], *second]] == whole


@pytest.mark.slow
def test_a_failed_trial_counts_and_a_contender_without_a_complete_one_stops_before_testing(tmp_path: Path) -> None:
    def fails(options: dict[str, str]) -> float | Exception:
        return LiverError("no memory") if options["loss"] == "focal" and options["seed"] == "0" else formula(options)

    def once(options: dict[str, str]) -> float | Exception:
        return Pruned("hopeless") if formula(options) < -0.004 else formula(options)

    with pytest.raises(LiverError, match=r"complete trial of each contender(.|\n)*loss=focal: trial 2, .*no memory"):
        run(tmp_path / "a", score=fails)
    assert all("trial" in job for job in Launcher.log)
    _, result = run(tmp_path / "b", score=once, trials=4)
    assert result is not None
    assert {each.trials for each in result.contenders} == {4}
    assert all(each.pruned for each in result.contenders)


@pytest.mark.slow
def test_a_comparison_that_would_be_unfair_to_finished_trials_is_refused(tmp_path: Path) -> None:
    run(tmp_path, dies_at=2)
    with pytest.raises(LiverError, match="trials 3, not 4"):
        run(tmp_path, trials=4)
    with pytest.raises(LiverError, match=r"pruner .*, not None, seed 0, not 1"):
        run(tmp_path, seed=1, pruner=None)
    with pytest.raises(LiverError, match=r"budget 10 epochs, not 99 epochs, .*space .*interval\(1e-4,1\)"):
        run(tmp_path, *COMMAND, "trainer.max_epochs=99", "optimizer.lr=interval(1e-4,1)")


@pytest.mark.slow
def test_options_with_a_value_are_not_tuned(tmp_path: Path) -> None:
    jobs, _ = run(tmp_path, "optimizer.lr=0.001,0.002", "loss=focal", "seed=0")
    assert {job["optimizer.lr"] for job in jobs} == {"0.001", "0.002"}
    assert all("loss.gamma" in job for job in jobs)
    with pytest.raises(LiverError, match="expected something to tune"):
        run(tmp_path, "loss=dice,bce", "optimizer.lr=0.001")


@pytest.mark.parametrize("metric", ["val/loss", "test/mean/dice_per_case"])
def test_only_a_dice_of_validation_cases_chooses(tmp_path: Path, metric: str) -> None:
    with pytest.raises(LiverError, match="expected a Dice of validation cases"):
        run(tmp_path, metric=metric)


def test_study_of_losses_can_be_composed_and_its_trials_count_before_its_runs(tmp_path: Path) -> None:
    typed = ["experiment=losses_fair", f"hydra.sweep.dir={tmp_path}"]
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(conf()), version_base="1.3"):
        sweeper = hydra.compose("train", typed, return_hydra_config=True).hydra.sweeper
    found = fight(**sweeper.params)
    assert (len(found.contenders), len(found.repeats), sweeper.trials) == (14, 6, 4)
    assert repeat_of_trials(found.repeats, OmegaConf.create({"folds": 3, "split": None})) == ["seed=0", "data.fold=1"]
