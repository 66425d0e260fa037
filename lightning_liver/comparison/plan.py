"""Plan of the next study: the smallest difference that a study tells, and the cheapest size that tells a wanted one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from lightning_liver.comparison.power import (
    POWER,
    StudySize,
    StudyVariances,
    power,
    smallest_difference,
    study_variances,
)
from lightning_liver.comparison.runs import complete_runs
from lightning_liver.comparison.study import Study, StudySection
from lightning_liver.errors import LiverError
from lightning_liver.metrics.case.dice import DICE_PER_CASE
from lightning_liver.metrics.intervals import FEWEST_PATIENTS
from lightning_liver.report.numbers import counted
from lightning_liver.runs.settings import value_of
from lightning_liver.tables import Row, duration, text_table

SEEDS = (2, 3, 4, 5, 6, 8, 10, 15, 20, 30)
MOST_PATIENTS = 1000


class PlannedSize(NamedTuple):
    """Size of a study that tells the wanted difference, and the smallest difference that it tells."""

    size: StudySize
    smallest: float

    @property
    def runs(self) -> int:
        """Return the number of runs of all configurations."""
        return self.size.runs * self.size.configurations


@dataclass(frozen=True)
class StudyPlan:
    """Plan for one structure in one stratum.

    Args:
        target: the difference to be told.
        size: of the study at hand.
        options: for each number of seeds the one with the fewest folds, if any tells the target.
        folds: that the data set of the study has; None if the runs differ in it.
        seconds: mean of a run; None if unknown.
    """

    structure: str
    stratum: str
    target: float
    variances: StudyVariances
    size: StudySize
    options: tuple[PlannedSize, ...]
    folds: int | None
    seconds: float | None

    @property
    def smallest(self) -> float:
        """Return the smallest difference that the study at hand tells."""
        return smallest_difference(self.variances, self.size)

    def cheapest(self, folds: int | None = None) -> PlannedSize | None:
        """Return the option with the fewest runs, then the fewest patients, with at most so many folds."""
        able = [each for each in self.options if folds is None or each.size.folds <= folds]
        return min(able, key=lambda each: (each.runs, each.size.folds), default=None)


def plans(study: Study, target: float) -> list[StudyPlan]:
    """Return the plan of each section that has configurations with several seeds.

    Args:
        target: difference of Dice per case.

    Raises:
        LiverError: no difference between 0 and 1, or no section with two configurations of several seeds.
    """
    if not 0 < target < 1:
        raise LiverError(f"--plan {target:g}: expected a difference of Dice above 0 and below 1, such as 0.02")
    found = [plan for section in study.sections if (plan := _plan(section, study, target)) is not None]
    if not found:
        raise LiverError(
            f"--plan {target:g}: expected two configurations or more with two seeds or more each, whose scores differ; "
            "run the study with seed=0,1"
        )
    return found


def plan_text(plan: StudyPlan) -> str:
    """Return the components, what the study at hand tells, and a table of the sizes that tell the target."""
    size, where = plan.size, f"{plan.stratum}: " if plan.stratum else ""
    shown = f"{plan.structure} {DICE_PER_CASE}"
    spread = ", ".join(f"{name.replace('_', ' ')} {value**0.5:.3f}" for name, value in plan.variances._asdict().items())
    told = power(plan.variances, size, plan.target)
    least = f"a difference of {plan.smallest:.3f}" if plan.smallest < 1 else "no difference that is possible"
    parts = [
        f"{where}Plan to tell a difference of {plan.target:g} in {shown}, in {POWER:.0%} of studies",
        f"Standard deviations: {spread}.\n"
        f"This study has {counted(size.configurations, 'configuration')}, {counted(size.seeds, 'seed')} and "
        f"{counted(size.all_patients, 'patient')} in {counted(size.folds, 'fold')}. It tells {least}, and "
        f"one of {plan.target:g} in {told:.0%} of studies.",
    ]
    if plan.options:
        parts.append(text_table([_row(plan, option) for option in plan.options]))
    return "\n\n".join([*parts, "\n".join(_remarks(plan))])


def _plan(section: StudySection, study: Study, target: float) -> StudyPlan | None:
    folds = {row.patient: row.fold for row in section.rows}
    several = {name: seeds for name, seeds in section.seeds.items() if len(seeds) > 1}
    variances = study_variances(list(several.values()), folds)
    if variances is None:
        return None
    tested = {patient for seeds in several.values() for scores in seeds.values() for patient in scores}
    count = len({folds[patient] for patient in tested})
    size = StudySize(
        patients=max(round(len(tested) / count), 1),
        folds=count,
        seeds=round(float(np.median([len(seeds) for seeds in several.values()]))),
        configurations=len(section.seeds),
        tests=max(study.tests, 1),
    )
    names = {row.run for row in section.rows}
    runs = [run for run in complete_runs(study.runs) if run.name in names or str(run.folder) in names]
    seconds = [run.seconds for run in runs if run.seconds is not None]
    available = {value_of(run.settings, "data.folds") for run in runs}
    of_data = next(iter(available)) if len(available) == 1 else None
    return StudyPlan(
        section.structure,
        section.stratum,
        target,
        variances,
        size,
        tuple(_options(variances, size, target)),
        of_data if isinstance(of_data, int) else None,
        float(np.mean(seconds)) if seconds else None,
    )


def _options(variances: StudyVariances, size: StudySize, target: float) -> Sequence[PlannedSize]:
    """Return the fewest folds for each number of seeds, up to the number of seeds from which on they stay the same."""
    options: list[PlannedSize] = []
    candidates = _folds(size)
    for seeds in SEEDS:
        # from the fewest on, not by bisection: with few seeds, more patients can make the test weaker
        sizes = (size._replace(seeds=seeds, folds=folds) for folds in candidates)
        tried = (PlannedSize(each, smallest_difference(variances, each)) for each in sizes)
        if (found := next((each for each in tried if each.smallest <= target), None)) is None:
            continue
        options.append(found)
        candidates = [folds for folds in candidates if folds <= found.size.folds]
        if len(candidates) == 1:
            break
    return options


def _folds(size: StudySize) -> list[int]:
    """Return numbers of folds: each of the first ten, then in steps of a tenth."""
    folds = [_fewest_folds(size)]
    while (more := folds[-1] + max(folds[-1] // 10, 1)) <= _most_folds(size):
        folds.append(more)
    return folds


def _fewest_folds(size: StudySize) -> int:
    return -(-FEWEST_PATIENTS // size.patients)


def _most_folds(size: StudySize) -> int:
    return max(MOST_PATIENTS // size.patients, _fewest_folds(size))


def _row(plan: StudyPlan, option: PlannedSize) -> Row:
    size = option.size
    marks = [
        mark
        for mark, best in (
            ("cheapest", plan.cheapest()),
            (f"cheapest within {plan.folds} folds", plan.cheapest(plan.folds)),
        )
        if option == best
    ]
    return {
        "seeds": size.seeds,
        "folds": size.folds,
        "patients": size.all_patients,
        "runs": option.runs,
        "time": "unknown" if plan.seconds is None else duration(option.runs * plan.seconds),
        "tells": option.smallest,
        "": marks[0] if marks else "",
    }


def _remarks(plan: StudyPlan) -> list[str]:
    remarks = []
    size = plan.size
    unable = [
        seeds for seeds in SEEDS if seeds < min((each.size.seeds for each in plan.options), default=SEEDS[-1] + 1)
    ]
    if unable:
        which = f"{unable[0]} seeds" if len(unable) == 1 else f"{unable[0]} to {unable[-1]} seeds"
        largest = size._replace(seeds=unable[-1], folds=_most_folds(size))
        least = smallest_difference(plan.variances, largest)
        remarks.append(
            f"With {which}, {MOST_PATIENTS} patients are too few; with {unable[-1]} they tell a difference of "
            f"{least:.3f}."
        )
    if plan.options and plan.folds is not None:
        if plan.cheapest(plan.folds) is None:
            remarks.append(f"No size within data.folds={plan.folds} is enough: it takes more scans.")
        elif any(each.size.folds > plan.folds for each in plan.options):
            remarks.append(f"More folds than data.folds={plan.folds} need more scans.")
    cost = "" if plan.seconds is None else f", one after another, {duration(plan.seconds)} each"
    remarks.append(
        f"Runs are those of {counted(size.configurations, 'configuration')}{cost}. A fold tests "
        f"{counted(size.patients, 'patient')}."
    )
    if size.tests > 1:
        alone = smallest_difference(plan.variances, size._replace(tests=1))
        remarks.append(
            f"Differences are told after Holm's correction over {size.tests} tests, which --baseline makes fewer. A "
            f"single pair, named before looking, tells {alone:.3f} in a study of this size."
        )
    return [f"Note: {remark}" for remark in remarks]
