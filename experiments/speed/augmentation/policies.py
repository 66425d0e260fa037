"""Time per slice of each policy of conf/augment."""

from collections.abc import Sequence

import numpy as np

from experiments.speed.augmentation.scans import Scan, config, scan
from experiments.speed.rounds import Work, judged, median_and_range, seconds_a_call
from lightning_liver.augment.policy import Policy
from lightning_liver.build import build
from lightning_liver.config import folder
from lightning_liver.tables import Row

BATCH = 8
LIMIT_MS = 3.0  # at 512x512
LIMITED = ("perlin", "elastic")


def policies(matrix: int) -> dict[str, Policy]:
    """Return all policies of conf/augment by name, with the options of their yaml."""
    names = sorted(path.stem for path in (folder() / "augment").glob("*.yaml"))
    return {name: build(config(matrix, f"augment={name}").augment) for name in names}


def a_batch(policy: Policy, given: Scan) -> Work:
    """Return a function that augments BATCH slices, then mixes them if the policy does."""
    samples = [given.sample() for _ in range(BATCH)]

    def work(seed: int) -> None:
        for position in range(BATCH):
            policy(given.image, seed * BATCH + position, given.donor)
        if policy.mixup is not None:
            policy.mixup(samples, np.random.default_rng(seed))

    return work


def milliseconds(matrix: int, *, rounds: int, batches: int) -> dict[str, list[float]]:
    """Return the time per slice of a batch, for each policy and round."""
    given = scan(matrix)
    work = {name: a_batch(policy, given) for name, policy in policies(matrix).items()}
    taken = seconds_a_call(work, rounds=rounds, calls=batches)
    return {name: [1000 * seconds / BATCH for seconds in times] for name, times in taken.items()}


def policy_rows(matrices: Sequence[int], *, rounds: int, batches: int) -> list[Row]:
    """Return a row per policy: median over rounds and range, for each size of slice."""
    of_size = {matrix: milliseconds(matrix, rounds=rounds, batches=batches) for matrix in matrices}
    return [
        {"policy": name, **{column: cell for m in matrices for column, cell in _cells(m, of_size[m][name]).items()}}
        for name in of_size[matrices[0]]
    ]


def limits(rows: Sequence[Row], matrix: int) -> list[str]:
    """Judge the policies that are likely to be slow."""
    taken = {str(row["policy"]): float(row[f"{matrix} ms"] or 0) for row in rows}
    return [
        judged(f"{name} at {matrix}: {taken[name]:.3f} ms", taken[name], "<", LIMIT_MS, "{:g} ms") for name in LIMITED
    ]


def _cells(matrix: int, taken_ms: Sequence[float]) -> dict[str, float | str]:
    median, spread = median_and_range(taken_ms, 3)
    return {f"{matrix} ms": median, f"{matrix} range": spread}
