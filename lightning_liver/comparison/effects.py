"""Main effects of options in a design where several differ at once (hydra/sweeper=design).

The mean of a run is modelled as a mean plus an effect of each option, fitted by least squares; interactions of options
count as the luck of runs. The run is the unit, a seed with all its folds: patients of one run share its luck. What
patients add is counted as in crossed.py.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from lightning_liver.comparison.crossed import Estimate
from lightning_liver.comparison.runs import Run, complete_runs, configurations, scores
from lightning_liver.comparison.statistics import SeedScores, holm, seed_scores
from lightning_liver.errors import LiverError
from lightning_liver.metrics.case.dice import DICE_PER_CASE
from lightning_liver.metrics.intervals import DECIMALS, Mean
from lightning_liver.report.numbers import p_text
from lightning_liver.runs.settings import levels
from lightning_liver.tables import Row, text_table


class Effect(NamedTuple):
    """Gain in Dice of the better level of an option over the worse one.

    Args:
        p: of Student's t over runs and patients, corrected for the number of options.
        agree: the number of patients whose own means have the same sign, of those with both levels.
    """

    option: str
    better: str
    worse: str
    gain: Mean
    p: float
    agree: str


def effects_text(runs: Sequence[Run], structures: Sequence[str]) -> str:
    """Return a table of effects for each structure, the largest first.

    Raises:
        LiverError: no complete run, or runs that cannot tell the effects of the options apart.
    """
    done = complete_runs(runs)
    names = configurations(done)
    settings = {names[run.folder]: run.settings for run in done}
    options = levels(list(settings.values()))
    if not options:
        raise LiverError("--effects: the complete runs differ in no option; see liver-compare --status")
    design = {name: {option: values[n] for option, values in options.items()} for n, name in enumerate(settings)}
    rows = scores(done)
    parts = []
    for structure in structures:
        shown = text_table([_row(effect) for effect in effects(seed_scores(rows, structure), design)])
        parts.append(f"Effects on {structure} {DICE_PER_CASE}, each with the other options averaged away\n\n{shown}")
    note = (
        f"Of {len(settings)} configurations. The run is the unit: intervals and p are of Student's t, from the "
        "residuals of the runs' means and from how patients differ; p is corrected by Holm over the options of a "
        "table. What two options do only together is not told, and blurs both."
    )
    return "\n\n".join([*parts, note])


def effects(table: SeedScores, design: Mapping[str, Mapping[str, str]]) -> list[Effect]:
    """Return the effect of each option, the largest gain first, from the patients that all runs have.

    Args:
        table: scores by configuration, seed and patient.
        design: the level of every option by configuration; each option has two levels.

    Raises:
        LiverError: an option has more levels, two options always change together, or there are too few runs.
    """
    runs = [(design[name], scores) for name, seeds in table.items() for scores in seeds.values()]
    pairs = {option: sorted({level[option] for level, _ in runs}) for option in next(iter(design.values()), {})}
    if many := [f"{option} has {', '.join(found)}" for option, found in pairs.items() if len(found) != 2]:
        raise LiverError(f"--effects: expected options with two levels each, but {'; '.join(many)}; leave runs out")
    patients = sorted(set.intersection(*(set(scores) for _, scores in runs))) if runs else []
    scores = np.array([[own[patient] for patient in patients] for _, own in runs])
    second = np.array([[level[option] == pairs[option][1] for option in pairs] for level, _ in runs], float) - 0.5
    x = np.concatenate([np.ones((len(runs), 1)), second], axis=1)
    if int(np.linalg.matrix_rank(x)) < x.shape[1] or len(runs) <= x.shape[1] or len(patients) < 2:
        raise LiverError(
            f"--effects: {len(runs)} runs of {len(table)} configurations with {len(patients)} common patients cannot "
            f"tell the {len(pairs)} options apart; sweep with hydra/sweeper=design and let whole designs finish, with "
            "more runs than options and at least two patients"
        )
    estimates = _estimates(scores, x)
    p = holm([estimate.p for estimate, _ in estimates])
    result = []
    for n, (option, (first, last)) in enumerate(pairs.items()):
        estimate, own_gains = estimates[n]
        sign = 1 if estimate.value >= 0 else -1
        gain, ends = abs(estimate.value), sorted(sign * end for end in estimate.interval[1:] if end is not None)
        better, worse = (last, first) if sign > 0 else (first, last)
        agree = f"{int((sign * own_gains > 0).sum())} of {len(patients)}"
        result.append(Effect(option, better, worse, Mean(gain, *(ends or (None, None))), p[n], agree))
    return sorted(result, key=lambda effect: -(effect.gain.mean or 0))


def _estimates(
    scores: Float[np.ndarray, "run patient"], x: Float[np.ndarray, "run column"]
) -> list[tuple[Estimate, Float[np.ndarray, " patient"]]]:
    """Fit the design to each patient; return each option's estimate, and its gain for each patient."""
    inverse = np.linalg.inv(x.T @ x)
    gains = inverse @ x.T @ scores  # of each column of the design, by patient
    left = scores - x @ gains
    runs, patients = scores.shape
    freedom = runs - x.shape[1]
    of_runs = float((left.mean(1) ** 2).sum()) / freedom
    rest = float(((left - left.mean(1, keepdims=True)) ** 2).sum()) / (freedom * (patients - 1))
    return [
        (
            Estimate(
                float(own.mean()),
                of_patients=float(np.round(own, DECIMALS).var(ddof=1)) / patients,
                of_seeds=float(inverse[n, n]) * of_runs,
                of_rest=float(inverse[n, n]) * rest / patients,
                patients=patients,
                seed_freedom=freedom,
            ),
            own,
        )
        for n, own in enumerate(gains)
        if n > 0
    ]


def _row(effect: Effect) -> Row:
    return {
        "option": effect.option,
        "better": effect.better,
        "worse": effect.worse,
        "gain": effect.gain.mean,
        "95 % low": effect.gain.low,
        "high": effect.gain.high,
        "p": p_text(effect.p),
        "patients": effect.agree,
    }
