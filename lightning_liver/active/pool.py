"""The pool: scans or slices without labels, of which some are asked for."""

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from lightning_liver.data.store import CaseRecord
from lightning_liver.inference.uncertainty import Kind

Unit = Literal["case", "slice"]
Scores = Float[np.ndarray, " candidate"]
Features = Float[np.ndarray, "candidate channel"]
OtherFeatures = Float[np.ndarray, "labelled channel"]


class Candidate(NamedTuple):
    """Candidate to be labelled: a slice of a case, or all cases of a patient, so that none is asked for in part.

    Args:
        cases: names.
        z: the slice; None is every slice of the cases.
    """

    patient: str
    cases: tuple[str, ...]
    z: int | None = None

    @property
    def name(self) -> str:
        return ",".join(self.cases) if self.z is None else f"{self.cases[0]} slice {self.z}"


@runtime_checkable
class Pool(Protocol):
    """Candidates in a fixed order, and what a trained network says about them."""

    candidates: Sequence[Candidate]

    def uncertainty(self, kind: Kind, *, passes: int = 0) -> Scores:
        """Return the mean uncertainty of each candidate's voxels; of several networks, or `passes` with dropout."""
        ...

    def features(self, part: str) -> tuple[Features, OtherFeatures]:
        """Return the pooled outputs of a part of the network: of the candidates, and of what is labelled."""
        ...


def candidates_of(records: Iterable[CaseRecord], unit: Unit, *, every: int) -> list[Candidate]:
    """Return the candidates among cases, sorted by patient, case and slice.

    Args:
        every: of slices, take every nth of a case, from the middle of the first n on.
    """
    by_patient: dict[str, list[CaseRecord]] = {}
    for record in records:
        by_patient.setdefault(record.patient, []).append(record)
    patients = sorted(by_patient.items(), key=lambda item: (len(item[0]), item[0]))
    if unit == "case":
        return [Candidate(patient, tuple(sorted(r.name for r in found))) for patient, found in patients]
    return [
        Candidate(patient, (record.name,), z)
        for patient, found in patients
        for record in sorted(found, key=lambda each: each.name)
        for z in range(min(every // 2, record.shape[0] - 1), record.shape[0], every)
    ]
