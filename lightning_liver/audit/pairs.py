"""Stub until the real one is merged."""

from dataclasses import dataclass, field
from typing import Literal

from lightning_liver.audit.finding import Draw, Finding
from lightning_liver.data.store import Store


@dataclass(frozen=True)
class Pair:
    first: str
    second: str
    kind: Literal["same_scan", "overlap", "same_patient"]
    score: float
    text: str
    draw: Draw | None = field(default=None, compare=False)

    def finding(self) -> Finding:
        return Finding(
            self.kind,
            "look" if self.kind == "same_patient" else "fix",
            (self.first, self.second),
            self.text,
            self.score,
            draw=self.draw,
        )


def find_pairs(store: Store, *, others: Store | None = None, workers: int) -> list[Pair]:
    return []
