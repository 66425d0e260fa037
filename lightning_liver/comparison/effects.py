"""Main effects of options in a design where several differ at once (hydra/sweeper=design).

The model of a score is a mean of its patient plus an effect of each option, fitted by least squares; interactions of
options count as noise.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import t as student

from lightning_liver.comparison.runs import Run, complete_runs, configurations, scores
from lightning_liver.comparison.statistics import Scores, holm, patient_scores
from lightning_liver.errors import LiverError
from lightning_liver.metrics.case.dice import DICE_PER_CASE
from lightning_liver.metrics.intervals import ALPHA, Mean
from lightning_liver.report.numbers import p_text
from lightning_liver.runs.settings import levels
from lightning_liver.tables import Row, text_table


class Effect(NamedTuple):
    """Gain in Dice of the better level of an option over the worse one.

    Args:
        p: of Student's t on the residuals, corrected for the number of options.
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
        shown = text_table([_row(effect) for effect in effects(patient_scores(rows, structure), design)])
        parts.append(f"Effects on {structure} {DICE_PER_CASE}, each with the other options averaged away\n\n{shown}")
    note = (
        f"Of {len(settings)} configurations. Intervals and p are of Student's t on the residuals of a score as its "
        "patient's plus what each option adds; p is corrected by Holm over the options of a table. What two options do "
        "only together is not told, and blurs both."
    )
    return "\n\n".join([*parts, note])


def effects(table: Scores, design: Mapping[str, Mapping[str, str]]) -> list[Effect]:
    """Return the effect of each option, the largest gain first.

    Args:
        table: scores by configuration and patient.
        design: the level of every option by configuration; each option has two levels.

    Raises:
        LiverError: an option has more levels, two options always change together, or there are too few scores.
    """
    scored = [(design[name], patient, score) for name, each in table.items() for patient, score in each.items()]
    patients = sorted({patient for _, patient, _ in scored})
    pairs = {option: sorted({level[option] for level, _, _ in scored}) for option in next(iter(design.values()), {})}
    if many := [f"{option} has {', '.join(found)}" for option, found in pairs.items() if len(found) != 2]:
        raise LiverError(f"--effects: expected options with two levels each, but {'; '.join(many)}; leave runs out")
    y = np.array([score for _, _, score in scored])
    own = np.array([[patient == each for each in patients] for _, patient, _ in scored], float)
    second = np.array([[level[option] == pairs[option][1] for option in pairs] for level, _, _ in scored], float) - 0.5
    x = np.concatenate([own, second], axis=1)
    rank = int(np.linalg.matrix_rank(x))
    if rank < x.shape[1] or len(y) <= rank:
        raise LiverError(
            f"--effects: {len(y)} scores of {len(table)} configurations cannot tell the {len(pairs)} options apart; "
            "sweep with hydra/sweeper=design and let whole designs finish"
        )
    inverse = np.linalg.inv(x.T @ x)
    fitted = inverse @ x.T @ y
    freedom = len(y) - rank
    residual = float(((y - x @ fitted) ** 2).sum() / freedom)
    gains = fitted[len(patients) :]
    errors = np.sqrt(residual * np.diag(inverse)[len(patients) :])
    p = holm([_p(gain, error, freedom) for gain, error in zip(gains, errors, strict=True)])
    result = []
    for n, (option, (first, last)) in enumerate(pairs.items()):
        sign = 1 if gains[n] >= 0 else -1
        half = float(student.ppf(1 - ALPHA / 2, freedom) * errors[n])
        gain = abs(float(gains[n]))
        by_level = [(y[mine & (second[:, n] > 0)], y[mine & (second[:, n] < 0)]) for mine in own.T > 0]
        own_gains = [sign * (above.mean() - below.mean()) for above, below in by_level if above.size and below.size]
        better, worse = (last, first) if sign > 0 else (first, last)
        agree = f"{sum(each > 0 for each in own_gains)} of {len(own_gains)}"
        result.append(Effect(option, better, worse, Mean(gain, gain - half, gain + half), p[n], agree))
    return sorted(result, key=lambda effect: -(effect.gain.mean or 0))


def _p(gain: float, error: float, freedom: int) -> float:
    return float(2 * student.sf(abs(gain) / error, freedom)) if error else float(gain == 0)


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
