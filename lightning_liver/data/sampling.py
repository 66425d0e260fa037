"""Which slices an epoch sees.

A training sample depends on (seed, epoch, position) alone. The three travel from the sampler to the worker inside the
index, so neither the number of workers nor an interruption changes what is drawn.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from torch.utils.data import Sampler

from lightning_liver.data.store import CaseRecord
from lightning_liver.errors import LiverError

Kind = Literal["tumour", "liver", "any"]


class Draw(NamedTuple):
    """One training sample of an epoch."""

    epoch: int
    position: int
    case: str
    z: int


@dataclass(frozen=True)
class Pools:
    """For each kind of slice, the slices of each case that has some: kind -> case -> slice numbers."""

    kinds: Mapping[Kind, Mapping[str, np.ndarray]]

    @staticmethod
    def of(records: Sequence[CaseRecord]) -> "Pools":
        """Kinds are `tumour`, `liver` and `any`."""
        kinds: dict[Kind, dict[str, np.ndarray]] = {"tumour": {}, "liver": {}, "any": {}}
        for record in records:
            kinds["tumour"][record.name] = np.flatnonzero(record.tumour_pixels)
            kinds["liver"][record.name] = np.flatnonzero(record.liver_pixels)
            kinds["any"][record.name] = np.arange(record.shape[0])
        return Pools({kind: {c: zs for c, zs in cases.items() if len(zs)} for kind, cases in kinds.items()})


class EpochSampler(Sampler[Draw]):
    """Draws an epoch: first the kind of slice by its share, then a case that has such slices, then one of them.

    Cases count alike, however many slices they have: Dice per case does too. A kind that no case has passes its share
    to the others.

    Args:
        pools: the training cases' slices.
        length: slices in an epoch, over all processes.
        shares: kind -> share of the epoch; they are scaled to sum to one.
        repeat: every epoch is the first one, augmentation included.
        rank, world: this process among `world` that share each epoch.
        left: how many slices a process may still draw, asked at the start of an epoch: the last may be a short one.
    """

    def __init__(
        self,
        pools: Pools,
        *,
        length: int,
        shares: Mapping[Kind, float],
        seed: int,
        repeat: bool,
        rank: int,
        world: int,
        left: Callable[[], float] = lambda: math.inf,
    ) -> None:
        self.pools, self.length, self.seed, self.repeat = pools, length, seed, repeat
        self.rank, self.world, self.left = rank, world, left
        self.shares = {kind: share for kind, share in shares.items() if share > 0 and pools.kinds[kind]}
        if not self.shares:
            raise LiverError(f"data.sampling={dict(shares)}: the training cases have no slice of these kinds.")
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer before each epoch."""
        self.epoch = 0 if self.repeat else epoch
        self._own = int(min(self.length // self.world, self.left()))

    def __len__(self) -> int:
        return self._own

    def __iter__(self) -> Iterator[Draw]:
        draws = self.draws(self.epoch)
        return iter(draws[self.rank : len(self) * self.world : self.world])

    def draws(self, epoch: int) -> list[Draw]:
        """The whole epoch, the same in every process."""
        rng = np.random.default_rng([self.seed, epoch])
        share = np.array(list(self.shares.values()), float)
        kinds = list(self.shares)
        drawn = rng.choice(len(kinds), size=self.length, p=share / share.sum())
        return [Draw(epoch, position, *pick(self.pools.kinds[kinds[kind]], rng)) for position, kind in enumerate(drawn)]


def pick(cases: Mapping[str, np.ndarray], rng: np.random.Generator) -> tuple[str, int]:
    """One of the cases, each alike, and one of its slices."""
    case = list(cases)[rng.integers(len(cases))]
    return case, int(cases[case][rng.integers(len(cases[case]))])
