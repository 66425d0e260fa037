"""Training loss against metric: every configuration under Dice and under 1 - loss of every measured loss."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata, spearmanr

from lightning_liver.report.numbers import counted
from lightning_liver.run_folder import NAMES
from lightning_liver.tables import MISSING, Row, text_table

Matrix = Mapping[str, Mapping[str, float]]  # metric, configuration

DICE = ("tumour Dice", "liver Dice")
ONE_MINUS = "1 - "
AGREES, DISAGREES = 0.7, 0.3  # a loss with this rank correlation with Dice or more agrees; one below the other does not

_DECIMALS = 12  # values that differ by rounding alone share a rank
_FEWEST = 3  # the correlation of two configurations is always 1 or -1
_SHOWN = 3


class Value(NamedTuple):
    """Score of a configuration under a metric: DICE, or ONE_MINUS with the name of a loss; higher is better."""

    configuration: str
    metric: str
    value: float


def matrix(values: Iterable[Value]) -> dict[str, dict[str, float]]:
    """Return the mean score of each configuration under each metric, Dice first, without values that are not finite."""
    values_of: dict[str, dict[str, list[float]]] = {metric: {} for metric in DICE}
    for configuration, metric, value in values:
        if np.isfinite(value):
            values_of.setdefault(metric, {}).setdefault(configuration, []).append(value)
    return {
        metric: {configuration: float(np.mean(each)) for configuration, each in scores.items()}
        for metric, scores in values_of.items()
        if scores
    }


def matrix_rows(table: Matrix) -> list[Row]:
    """Return a row for each configuration with unrounded values, for a CSV."""
    names = sorted({name for scores in table.values() for name in scores})
    return [{"configuration": name} | {metric: table[metric].get(name) for metric in table} for name in names]


def ranks(scores: Mapping[str, float]) -> dict[str, int]:
    """Return the rank of each configuration, 1 for the greatest; equal values share the better rank."""
    numbers = rankdata(-np.round(list(scores.values()), _DECIMALS), method="min")
    return {name: int(rank) for name, rank in zip(scores, numbers, strict=True)}


def agreement(table: Matrix, metric: str, other: str) -> float | None:
    """Return Spearman's rank correlation over the configurations with both metrics; None if it has no meaning."""
    names = sorted(set(table.get(metric, {})) & set(table.get(other, {})))
    first, second = (np.round([table[each][name] for name in names], _DECIMALS) for each in (metric, other))
    if len(names) < _FEWEST or np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    return float(spearmanr(first, second).statistic)


def own_ranks(table: Matrix, own: Mapping[str, str]) -> dict[str, int]:
    """Return, for each loss, the best rank under it of a configuration trained with it, if there are others.

    Args:
        own: the loss that each configuration was trained with, as it is named in measuring.
    """
    best: dict[str, int] = {}
    for metric, scores in table.items():
        by_name = ranks(scores)
        mine = [by_name[name] for name in scores if metric == f"{ONE_MINUS}{own.get(name)}"]
        best |= {metric: min(mine)} if mine and len(scores) > 1 else {}
    return best


def loss_metric_text(table: Matrix, own: Mapping[str, str], left_out: int = 0) -> str:
    """Return a line for each metric and remarks in plain words; nothing if no loss was measured.

    Args:
        left_out: number of complete runs without measured losses.
    """
    if not any(metric.startswith(ONE_MINUS) for metric in table):
        return ""
    mine = own_ranks(table, own)
    rows = [_metric_row(table, metric, mine.get(metric)) for metric in table]
    title = (
        "Training loss against metric: the best training configurations under each metric, the rank of the one that "
        "was trained with this very loss, and Spearman's rank correlation with Dice over configurations"
    )
    return f"{title}\n\n{text_table(rows)}\n\n{chr(10).join(_remarks(table, mine, left_out))}"


def _metric_row(table: Matrix, metric: str, own: int | None) -> Row:
    scores = table[metric]
    best = sorted(scores, key=lambda name: -scores[name])[:_SHOWN]
    places = {str(n + 1): f"{best[n]} {scores[best[n]]:.3f}" if n < len(best) else MISSING for n in range(_SHOWN)}
    others = {f"with {other}": None if other == metric else agreement(table, metric, other) for other in DICE}
    rank: Row = {"own rank": MISSING if own is None else f"{own} of {len(scores)}"}
    return {"metric": metric, **places, **rank, **others}


def _remarks(table: Matrix, own: Mapping[str, int], left_out: int) -> list[str]:
    losses = {metric: metric.removeprefix(ONE_MINUS) for metric in table if metric.startswith(ONE_MINUS)}
    lines = [_own_remark(own), *_agreement_remarks(table, losses)]
    outside = [name for metric, name in losses.items() if not all(0 <= value <= 1 for value in table[metric].values())]
    lines.append(
        "1 - loss is no accuracy for a loss without bounds (lovasz_hinge, hausdorff, boundary, shape_aware, bce and "
        "what is made of them): it only turns the sign, so that more is better."
        + (f" Here it leaves 0 to 1 for {', '.join(outside)}." if outside else "")
    )
    lines.append("Ranks are of means, without a test: neighbours may have changed places by chance.")
    if left_out:
        have, be = ("runs have", "are") if left_out > 1 else ("run has", "is")
        lines.append(f"{left_out} complete {have} no {NAMES.losses} and {be} left out here.")
    return [f"- {line}" for line in lines]


def _own_remark(own: Mapping[str, int]) -> str:
    if not own:
        return "No configuration was trained with a loss that was measured."
    best = [metric.removeprefix(ONE_MINUS) for metric, rank in own.items() if rank == 1]
    named = f": {', '.join(best)}" if best else ""
    return (
        f"Under {len(best)} of {len(own)} losses that were both trained with and measured, the model trained with the "
        f"loss is the best{named}."
    )


def _agreement_remarks(table: Matrix, losses: Mapping[str, str]) -> list[str]:
    lines = []
    count = len({name for scores in table.values() for name in scores})
    for dice in DICE:
        known = {name: agreement(table, metric, dice) for metric, name in losses.items()}
        correlations = {
            name: rho for name, rho in sorted(known.items(), key=lambda item: -(item[1] or 0)) if rho is not None
        }
        if correlations:
            agree = _listed(correlations, [name for name, rho in correlations.items() if rho >= AGREES])
            differ = _listed(correlations, [name for name, rho in correlations.items() if rho < DISAGREES])
            lines.append(
                f"Over {count} configurations these losses agree with {dice} (rank correlation {AGREES} or more): "
                f"{agree}; these do not (below {DISAGREES}): {differ}."
            )
    if not lines:
        lines.append(f"With {counted(count, 'configuration')} a rank correlation says nothing.")
    return lines


def _listed(correlations: Mapping[str, float], names: Sequence[str]) -> str:
    return ", ".join(f"{name} {correlations[name]:+.2f}" for name in names) or "none"
