"""The five transforms by our policy, MONAI and batchgeneratorsv2: what they do, and how many slices a second."""

import statistics
from collections.abc import Sequence

import numpy as np

from experiments.speed.contender import FLIP, MOVE, TRANSFORMS, Contender
from experiments.speed.rounds import middle_and_range, seconds_a_call
from lightning_liver.tables import Row

TARGET = 2.0  # times the quicker peer
LEAST_CHANGE = 0.001  # of the window: the mean over the slice and over seeds
SEEDS = 16


def change_rows(contenders: Sequence[Contender]) -> list[Row]:
    """By how much each transform alone, and all of them, change the image: mean over pixels and seeds, % of the window.

    Raises:
        RuntimeError: one does nothing, labels are not 0, 1 and 2, or they move without the image or it without them.
    """
    sets = {name: (name,) for name in TRANSFORMS} | {"all five": TRANSFORMS}
    return [
        {"transform": title} | {contender.name: 100 * _change(contender, names) for contender in contenders}
        for title, names in sets.items()
    ]


def speed_rows(contenders: Sequence[Contender], *, rounds: int, calls: int) -> list[Row]:
    """Slices a second on one core, and how many times as quick the first contender is: median over rounds and range."""
    work = {contender.name: contender.pipeline(TRANSFORMS) for contender in contenders}
    taken = seconds_a_call(work, rounds=rounds, calls=calls)
    own_s = taken[contenders[0].name]
    return [_speed_row(name, times_s, own_s) for name, times_s in taken.items()]


def verdict(rows: Sequence[Row], peers: Sequence[str]) -> str:
    """Whether the contender of the first row is quick enough beside the quicker of its peers."""
    ratios = {str(row["set"]): float(row["ours is x times as quick"] or 0) for row in rows}
    peer = min(peers, key=lambda name: ratios[name])
    word = "pass" if ratios[peer] >= TARGET else "FAIL"
    return f"{ratios[peer]:.2f} times as quick as {peer}, target >= {TARGET:g}: {word}"


def _speed_row(name: str, times_s: Sequence[float], own_s: Sequence[float]) -> Row:
    speed, spread = middle_and_range([1 / seconds for seconds in times_s], 0)
    ratio, ratios = middle_and_range([theirs / own for theirs, own in zip(times_s, own_s, strict=True)], 2)
    return {
        "set": name,
        "ms a slice": 1000 * statistics.median(times_s),
        "slices/s": round(speed),
        "range": spread,
        "ours is x times as quick": ratio,
        "its range": ratios,
    }


def _change(contender: Contender, names: Sequence[str]) -> float:
    image, labels = contender.arrays(contender.pipeline([])(0))
    apply = contender.pipeline(names)
    made = [contender.arrays(apply(seed)) for seed in range(SEEDS)]
    change = statistics.mean(float(np.abs(changed - image).mean()) for changed, _ in made)
    if change < LEAST_CHANGE:
        raise RuntimeError(f"{contender.name}: {', '.join(names)} changes the image by {change:g} only")
    if not all(set(np.unique(changed)) <= {0, 1, 2} for _, changed in made):
        raise RuntimeError(f"{contender.name}: {', '.join(names)} gives labels that are not 0, 1 or 2")
    moved = any((changed != labels).any() for _, changed in made)
    if moved != bool({MOVE, FLIP} & set(names)):
        raise RuntimeError(f"{contender.name}: {', '.join(names)} {'moves' if moved else 'does not move'} the labels")
    return change
