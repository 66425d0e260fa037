"""Sampling of the slices of an epoch.

A training sample depends on (seed, epoch, position) alone. The sampler passes all three to the worker in the index, so
neither the number of workers nor an interruption changes what is drawn.
"""

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from torch.utils.data import Sampler

from lightning_liver.data.store import CaseRecord, Store
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
    """Slices by kind and case: kind -> case -> slice numbers; cases without such slices are left out."""

    kinds: Mapping[Kind, Mapping[str, np.ndarray]]

    @staticmethod
    def of(records: Sequence[CaseRecord], labelled: Mapping[str, Collection[int]] | None = None) -> "Pools":
        """Return the slices of the kinds `tumour`, `liver` and `any`.

        Args:
            labelled: the slices of each case that have labels; None is all of them.
        """
        kinds: dict[Kind, dict[str, np.ndarray]] = {"tumour": {}, "liver": {}, "any": {}}
        for record in records:
            own = np.arange(record.shape[0])
            known = np.ones(len(own), bool) if labelled is None else np.isin(own, list(labelled.get(record.name, ())))
            kinds["tumour"][record.name] = np.flatnonzero(
                known[: len(record.tumour_pixels)] & _any(record.tumour_pixels)
            )
            kinds["liver"][record.name] = np.flatnonzero(known[: len(record.liver_pixels)] & _any(record.liver_pixels))
            kinds["any"][record.name] = own[known]
        return Pools({kind: {c: zs for c, zs in cases.items() if len(zs)} for kind, cases in kinds.items()})


def _any(pixels: Sequence[int]) -> np.ndarray:
    return np.asarray(pixels, int) > 0


class EpochSampler(Sampler[Draw]):
    """Sampler of an epoch: first the kind of slice by its weight, then a case with such slices, then one of them.

    Cases have equal weight, however many slices they have, as in Dice per case. A kind that no case has gets weight 0.

    Args:
        pools: the training cases' slices.
        length: slices in an epoch, over all processes.
        weights: kind -> weight; they are scaled to sum to one.
        repeat: repeat the first epoch, augmentation included.
        rank, world: this process and the number of processes that share each epoch.
        left: number of slices that a process may still draw, called at the start of an epoch: the last may be shorter.
    """

    def __init__(
        self,
        pools: Pools,
        *,
        length: int,
        weights: Mapping[Kind, float],
        seed: int,
        repeat: bool,
        rank: int,
        world: int,
        left: Callable[[], float] = lambda: math.inf,
    ) -> None:
        self.pools, self.length, self.seed, self.repeat = pools, length, seed, repeat
        self.rank, self.world, self.left = rank, world, left
        self.weights = {kind: weight for kind, weight in weights.items() if weight > 0 and pools.kinds[kind]}
        if not self.weights:
            raise LiverError(
                f"data.sampling={dict(weights)}: expected a kind that the training cases have; set data.sampling.any=1"
            )
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Start an epoch; the trainer calls this."""
        self.epoch = 0 if self.repeat else epoch
        self._own = int(min(self.length // self.world, self.left()))

    def __len__(self) -> int:
        return self._own

    def __iter__(self) -> Iterator[Draw]:
        draws = self.draws(self.epoch)
        return iter(draws[self.rank : len(self) * self.world : self.world])

    def draws(self, epoch: int) -> list[Draw]:
        """Draw the whole epoch, the same in every process."""
        rng = np.random.default_rng([self.seed, epoch])
        weights = np.array(list(self.weights.values()), float)
        kinds = list(self.weights)
        drawn = rng.choice(len(kinds), size=self.length, p=weights / weights.sum())
        return [Draw(epoch, position, *pick(self.pools.kinds[kinds[kind]], rng)) for position, kind in enumerate(drawn)]


def pick(cases: Mapping[str, np.ndarray], rng: np.random.Generator) -> tuple[str, int]:
    """Pick a case and one of its slices, both uniformly."""
    case = list(cases)[rng.integers(len(cases))]
    return case, int(cases[case][rng.integers(len(cases[case]))])


@dataclass(frozen=True)
class Companion:
    """Slices of another domain, one of which accompanies each training sample.

    Args:
        store: its prepared cases.
        pools: its slices by kind.
        weights: kind -> weight; a kind without slices gets weight 0.
    """

    store: Store
    pools: Pools
    weights: Mapping[Kind, float]

    @staticmethod
    def evenly(store: Store) -> "Companion":
        """Return all slices of all cases; cases have equal weight."""
        return Companion(store, Pools.of(list(store.cases.values())), {"any": 1.0})

    def draw(self, rng: np.random.Generator) -> tuple[str, int]:
        """Draw a kind by its weight, then a case with such slices, then one of them."""
        known = {kind: weight for kind, weight in self.weights.items() if weight > 0 and self.pools.kinds[kind]}
        kinds = list(known)
        if len(kinds) == 1:
            return pick(self.pools.kinds[kinds[0]], rng)
        weights = np.array(list(known.values()))
        return pick(self.pools.kinds[kinds[rng.choice(len(kinds), p=weights / weights.sum())]], rng)
