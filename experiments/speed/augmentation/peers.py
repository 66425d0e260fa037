"""Effect and speed of the five transforms by our policy, MONAI and batchgeneratorsv2."""

import statistics
from collections.abc import Sequence

import numpy as np

from experiments.speed.augmentation.contender import FLIP, MOVE, TRANSFORMS, Contender
from experiments.speed.rounds import judged, median_and_range, ratios, seconds_a_call
from lightning_liver.tables import Row

TARGET = 2.0  # times the quicker peer
LEAST_CHANGE = 0.001  # of the window: the mean over the slice and over seeds
SEEDS = 16


def change_rows(contenders: Sequence[Contender]) -> list[Row]:
    """Return the change by each transform and by all: mean over pixels and seeds, % of the window.

    Raises:
        RuntimeError: a transform changes nothing, yields labels other than 0, 1, 2, or moves image and labels apart.
    """
    sets = {name: (name,) for name in TRANSFORMS} | {"all five": TRANSFORMS}
    return [
        {"transform": title} | {contender.name: 100 * _change(contender, names) for contender in contenders}
        for title, names in sets.items()
    ]


def speed_rows(contenders: Sequence[Contender], *, rounds: int, calls: int) -> list[Row]:
    """Return slices a second on one core and the speed-up of the first contender: median over rounds and range."""
    work = {contender.name: contender.pipeline(TRANSFORMS) for contender in contenders}
    taken = seconds_a_call(work, rounds=rounds, calls=calls)
    own_s = taken[contenders[0].name]
    return [_speed_row(name, times_s, own_s) for name, times_s in taken.items()]


def verdict(rows: Sequence[Row], peers: Sequence[str]) -> str:
    """Judge the contender of the first row beside the quicker of its peers."""
    quicker = {str(row["set"]): float(row["ours is x times as quick"] or 0) for row in rows}
    peer = min(peers, key=lambda name: quicker[name])
    return judged(f"{quicker[peer]:.2f} times as quick as {peer}", quicker[peer], ">=", TARGET)


def _speed_row(name: str, times_s: Sequence[float], own_s: Sequence[float]) -> Row:
    speed, spread = median_and_range([1 / seconds for seconds in times_s], 0)
    ratio, its_range = median_and_range(ratios(times_s, own_s), 2)
    return {
        "set": name,
        "ms a slice": 1000 * statistics.median(times_s),
        "slices/s": round(speed),
        "range": spread,
        "ours is x times as quick": ratio,
        "its range": its_range,
    }


def _change(contender: Contender, names: Sequence[str]) -> float:
    image, labels = contender.arrays(contender.pipeline([])(0))
    apply = contender.pipeline(names)
    made = [contender.arrays(apply(seed)) for seed in range(SEEDS)]
    change = statistics.mean(float(np.abs(changed - image).mean()) for changed, _ in made)
    if change < LEAST_CHANGE:
        raise RuntimeError(f"{contender.name}: {', '.join(names)} changes the image by only {change:g}")
    if not all(set(np.unique(changed)) <= {0, 1, 2} for _, changed in made):
        raise RuntimeError(f"{contender.name}: {', '.join(names)} yields labels other than 0, 1 and 2")
    moved = any((changed != labels).any() for _, changed in made)
    if moved != bool({MOVE, FLIP} & set(names)):
        raise RuntimeError(f"{contender.name}: {', '.join(names)} {'moves' if moved else 'does not move'} the labels")
    return change
