from dataclasses import replace
from pathlib import Path

import pytest

from lightning_liver.commands.compare import comparison
from lightning_liver.comparison.plan import SEEDS, StudyPlan, plan_text, plans
from lightning_liver.comparison.plan_figure import plan_figure
from lightning_liver.comparison.power import StudySize, smallest_difference
from lightning_liver.comparison.results import gather
from lightning_liver.comparison.study import Study, study
from lightning_liver.errors import LiverError

STUDY = Path(__file__).parents[2] / "experiments" / "augmentation"


@pytest.fixture(scope="module")
def augmentation() -> Study:
    return study(gather([STUDY]), ("liver",), baseline="augment=none")


@pytest.fixture(scope="module")
def plan(augmentation: Study) -> StudyPlan:
    (found,) = plans(augmentation, 0.02)
    return found


def test_size_is_that_of_the_study(plan: StudyPlan) -> None:
    assert plan.size == StudySize(patients=8, folds=2, seeds=3, configurations=21, tests=20)
    assert plan.folds == 3
    assert plan.seconds is not None
    assert 10 < plan.seconds < 100


def test_each_option_tells_the_target_and_one_fold_less_does_not(plan: StudyPlan) -> None:
    assert plan.options
    for option in plan.options:
        assert option.smallest == smallest_difference(plan.variances, option.size) <= plan.target
        if option.size.folds > 1:
            fewer = option.size._replace(folds=option.size.folds - max(option.size.folds // 10, 1))
            assert smallest_difference(plan.variances, fewer) > plan.target


def test_cheapest_has_the_fewest_runs_and_no_more_folds_than_asked(plan: StudyPlan) -> None:
    best = plan.cheapest()
    assert best is not None
    assert best.runs == min(option.runs for option in plan.options) == best.size.seeds * best.size.folds * 21
    within = plan.cheapest(1)
    assert within is None or within.size.folds == 1


def test_table_marks_the_cheapest_and_counts_its_time(plan: StudyPlan) -> None:
    text, best = plan_text(plan), plan.cheapest()
    assert best is not None
    (line,) = [line for line in text.splitlines() if line.endswith("cheapest")]
    assert line.split()[:4] == [str(n) for n in (best.size.seeds, best.size.folds, best.size.all_patients, best.runs)]
    assert plan.seconds is not None
    hours = best.runs * plan.seconds / 3600
    assert f"{hours:.1f} hours" in line
    assert f"It tells a difference of {plan.smallest:.3f}" in text


def test_target_beyond_reach_says_what_the_largest_study_tells(plan: StudyPlan) -> None:
    beyond = replace(plan, target=1e-5, options=())
    assert beyond.cheapest() is None
    assert f"With {SEEDS[0]} to {SEEDS[-1]} seeds, 1000 patients are too few; with {SEEDS[-1]}" in plan_text(beyond)
    assert not [line for line in plan_figure(beyond).axes[0].lines if line.get_gid() == "cheapest"]


def test_figure_has_the_target_the_study_and_the_cheapest(plan: StudyPlan) -> None:
    axes, best = plan_figure(plan).axes[0], plan.cheapest()
    lines = {str(line.get_gid()): line for line in axes.lines}
    assert best is not None
    assert lines["target"].get_ydata() == [0.02, 0.02]
    assert (lines["study"].get_xdata(), lines["study"].get_ydata()) == ([16], [pytest.approx(plan.smallest)])
    assert lines["cheapest"].get_xdata() == [best.size.all_patients]
    assert lines["seeds"].get_ydata()[0] > lines["seeds"].get_ydata()[-1]


@pytest.mark.parametrize("target", [0.0, -0.1, 1.0, float("nan")])
def test_impossible_difference_is_refused(augmentation: Study, target: float) -> None:
    with pytest.raises(LiverError, match="expected a difference of Dice above 0 and below 1"):
        plans(augmentation, target)


def test_single_seed_is_refused_with_what_to_run(augmentation: Study) -> None:
    runs = [run for run in augmentation.runs if run.seed == 0]
    with pytest.raises(LiverError, match="run the study with seed=0,1"):
        plans(study(runs, ("liver",)), 0.02)


@pytest.mark.slow
def test_command_ends_with_the_plan_and_draws_it(tmp_path: Path) -> None:
    text = comparison([str(STUDY)], "liver", "augment=none", [], False, 0.02, None, str(tmp_path), "liver-compare")
    assert text.rpartition("Plan to tell a difference of 0.02 in liver Dice per case")[2].count("cheapest") == 1
    assert (tmp_path / "plan-liver.png").stat().st_size > 1000
