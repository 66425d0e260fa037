"""What each option did where several differ at once: its gain, the others averaged away.

For studies whose configurations were laid out for it (hydra/sweeper=design). A score is taken to be its patient's plus
what each option adds, which least squares finds; what options do only together is noise to it.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import t as student

from lightning_liver.comparison.runs import Run, completed, configurations, scores
from lightning_liver.comparison.statistics import Scores, holm, patient_scores
from lightning_liver.errors import LiverError
from lightning_liver.metrics.case.dice import DICE_PER_CASE
from lightning_liver.metrics.intervals import ALPHA, Mean
from lightning_liver.runs.settings import levels
from lightning_liver.tables import Row, text_table


class Effect(NamedTuple):
    """How much Dice the better level of an option has more than the worse one.

    p is of Student's t on the residuals, corrected for the number of options. agree tells with how many patients the
    means of both levels say the same, of how many who met both.
    """

    option: str
    better: str
    worse: str
    gain: Mean
    p: float
    agree: str


def effects_text(runs: Sequence[Run], structures: Sequence[str]) -> str:
    """A table of effects for each structure, the largest first.

    Raises:
        LiverError: no complete run, or they cannot tell the effects of the options.
    """
    done = completed(runs)
    names = configurations(done)
    settings = {names[run.folder]: run.settings for run in done}
    options = levels(list(settings.values()))
    if not options:
        raise LiverError("--effects: the complete runs differ in no option. See liver-compare --status.")
    chosen = {name: {option: values[n] for option, values in options.items()} for n, name in enumerate(settings)}
    rows = scores(done)
    parts = []
    for structure in structures:
        found = effects(patient_scores(rows, structure), chosen)
        shown = text_table([_row(each) for each in found])
        parts.append(f"Effects on {structure} {DICE_PER_CASE}, each with the other options averaged away\n\n{shown}")
    note = (
        f"Of {len(settings)} configurations. Intervals and p are of Student's t on the residuals of a score as its "
        "patient's plus what each option adds; p is corrected by Holm over the options of a table. What two options do "
        "only together is not told, and blurs both."
    )
    return "\n\n".join([*parts, note])


def effects(table: Scores, chosen: Mapping[str, Mapping[str, str]]) -> list[Effect]:
    """The effect of each option, the largest gain first.

    Args:
        table: scores by configuration and patient.
        chosen: the level of every option by configuration; each option has two levels.

    Raises:
        LiverError: an option has more levels, two options always change together, or there are too few scores.
    """
    told = [(chosen[name], patient, score) for name, found in table.items() for patient, score in found.items()]
    patients = sorted({patient for _, patient, _ in told})
    pairs = {option: sorted({had[option] for had, _, _ in told}) for option in next(iter(chosen.values()), {})}
    if many := [f"{option} has {', '.join(found)}" for option, found in pairs.items() if len(found) != 2]:
        raise LiverError(f"--effects is for options with two levels each, and {'; '.join(many)}.")
    y = np.array([score for _, _, score in told])
    own = np.array([[patient == each for each in patients] for _, patient, _ in told], float)
    second = np.array([[had[option] == pairs[option][1] for option in pairs] for had, _, _ in told], float) - 0.5
    x = np.concatenate([own, second], axis=1)
    rank = int(np.linalg.matrix_rank(x))
    if rank < x.shape[1] or len(y) <= rank:
        raise LiverError(
            f"--effects: {len(y)} scores of {len(table)} configurations cannot tell the {len(pairs)} options "
            "apart. Lay the study out with hydra/sweeper=design and let whole designs finish."
        )
    inverse = np.linalg.inv(x.T @ x)
    fitted = inverse @ x.T @ y
    freedom = len(y) - rank
    residual = float(((y - x @ fitted) ** 2).sum() / freedom)
    gains = fitted[len(patients) :]
    errors = np.sqrt(residual * np.diag(inverse)[len(patients) :])
    p = holm([_p(gain, error, freedom) for gain, error in zip(gains, errors, strict=True)])
    found = []
    for n, (option, (first, last)) in enumerate(pairs.items()):
        sign = 1 if gains[n] >= 0 else -1
        half = float(student.ppf(1 - ALPHA / 2, freedom) * errors[n])
        gain = abs(float(gains[n]))
        met = [(y[mine & (second[:, n] > 0)], y[mine & (second[:, n] < 0)]) for mine in own.T > 0]
        own_gains = [sign * (above.mean() - below.mean()) for above, below in met if above.size and below.size]
        better, worse = (last, first) if sign > 0 else (first, last)
        agree = f"{sum(each > 0 for each in own_gains)} of {len(own_gains)}"
        found.append(Effect(option, better, worse, Mean(gain, gain - half, gain + half), p[n], agree))
    return sorted(found, key=lambda effect: -(effect.gain.mean or 0))


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
        "p": f"{effect.p:.3f}" if effect.p >= 0.001 else "< 0.001",
        "patients": effect.agree,
    }
