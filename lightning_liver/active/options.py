"""Options of a loop of active learning."""

from typing import Literal

from pydantic.dataclasses import dataclass

from lightning_liver.active.pool import Unit
from lightning_liver.errors import LiverError
from lightning_liver.types.options import Closed, Count, Natural, Seed, Switch


@dataclass(frozen=True, config=Closed)
class LoopOptions:
    """Options of conf/active.yaml, checked before anything is prepared.

    Args:
        action: simulate, or an action of a loop with an expert.
        rounds: number of trainings.
        initial: candidates labelled before the first one.
        per_round: candidates asked for after each round but the last, one number for all or one for each.
        unit: a case, with all others of its patient, or a slice.
        every: distance of the slices that are candidates.
        start: weights at the start of a round.
        val_patients, test_patients: of a loop with an expert: patients of the first labelled ones, drawn at random,
            that validate and test every round.
    """

    action: Literal["simulate", "init", "propose", "accept", "status"]
    rounds: Count
    initial: Count
    per_round: Count | list[Count]
    unit: Unit
    every: Count
    start: Literal["scratch", "last_round"]
    seed: Seed
    report: Switch
    val_patients: Count
    test_patients: Natural
    accept_unchanged: Switch

    def __post_init__(self) -> None:
        if isinstance(self.per_round, list) and len(self.per_round) != self.rounds - 1:
            raise LiverError(
                f"per_round={self.per_round}: expected {self.rounds - 1} numbers, one after each of {self.rounds} "
                "rounds but the last; give as many, or a single number"
            )

    @property
    def asked(self) -> list[int]:
        """Number of candidates that are labelled before each round."""
        later = self.per_round if isinstance(self.per_round, list) else [self.per_round] * (self.rounds - 1)
        return [self.initial, *later]

    def asked_after(self, rounds: int) -> int:
        """Return the number of candidates asked for after some rounds; the last of a list stands for later ones."""
        if rounds == 0:
            return self.initial
        return (
            self.per_round[min(rounds, len(self.per_round)) - 1] if isinstance(self.per_round, list) else self.per_round
        )
