"""What each policy of conf/augment takes."""

from collections.abc import Sequence

import numpy as np

from experiments.speed.rounds import Work, middle_and_range, seconds_a_call
from experiments.speed.scans import Scan, config, scan
from lightning_liver.augment.policy import Policy
from lightning_liver.build import build
from lightning_liver.config import folder
from lightning_liver.tables import Row

BATCH = 8
LIMIT_MS = 3.0  # at 512x512
LIMITED = ("perlin", "elastic")


def policies(matrix: int) -> dict[str, Policy]:
    """All of conf/augment by name, with the options that they have there."""
    names = sorted(path.stem for path in (folder() / "augment").glob("*.yaml"))
    return {name: build(config(matrix, f"augment={name}").augment) for name in names}


def a_batch(policy: Policy, given: Scan) -> Work:
    """Augments BATCH slices, then mixes them if the policy does."""
    samples = [given.sample() for _ in range(BATCH)]

    def work(seed: int) -> None:
        for position in range(BATCH):
            policy(given.image, seed * BATCH + position, given.donor)
        if policy.mixup is not None:
            policy.mixup(samples, np.random.default_rng(seed))

    return work


def milliseconds(matrix: int, *, rounds: int, batches: int) -> dict[str, list[float]]:
    """Of each policy, a slice's share of a batch in each round."""
    given = scan(matrix)
    work = {name: a_batch(policy, given) for name, policy in policies(matrix).items()}
    taken = seconds_a_call(work, rounds=rounds, calls=batches)
    return {name: [1000 * seconds / BATCH for seconds in times] for name, times in taken.items()}


def policy_rows(matrices: Sequence[int], *, rounds: int, batches: int) -> list[Row]:
    """A row a policy: median over rounds and range, for each size of slice."""
    of_size = {matrix: milliseconds(matrix, rounds=rounds, batches=batches) for matrix in matrices}
    return [
        {"policy": name, **{column: cell for m in matrices for column, cell in _cells(m, of_size[m][name]).items()}}
        for name in of_size[matrices[0]]
    ]


def limits(rows: Sequence[Row], matrix: int) -> list[str]:
    """Whether the policies that were feared to be slow are quick enough."""
    taken = {str(row["policy"]): float(row[f"{matrix} ms"] or 0) for row in rows}
    return [
        f"{name} at {matrix}: {taken[name]:.3f} ms, target < {LIMIT_MS:g} ms: "
        f"{'pass' if taken[name] < LIMIT_MS else 'FAIL'}"
        for name in LIMITED
    ]


def _cells(matrix: int, taken_ms: Sequence[float]) -> dict[str, float | str]:
    median, spread = middle_and_range(taken_ms, 3)
    return {f"{matrix} ms": median, f"{matrix} range": spread}
