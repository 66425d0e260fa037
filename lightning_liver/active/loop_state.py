"""State of a simulated loop: active.json, a small file that is written whole after every choice."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from pydantic import TypeAdapter

from lightning_liver.active.pool import Candidate
from lightning_liver.errors import LiverError
from lightning_liver.files import write_whole
from lightning_liver.metrics.correction_effort import correction_effort
from lightning_liver.metrics.voxel_counts import SpacingMm, count_voxels, dice
from lightning_liver.readers import parsing, read_json

Labels = UInt8[np.ndarray, "z y x"]

VERSION = 1
FILE = "active.json"


@dataclass(frozen=True)
class Correction:
    """A case, or one slice of it, that was asked for and labelled, and the effort of correcting its proposal.

    Args:
        z: the slice; None is the whole case.
        score: of its candidate, by which it was chosen; None where the strategy has none.
        slices_shown: slices that the expert had to look at.
        slices, voxels, contour_mm: see metrics.correction_effort.
        dice_liver, dice_tumour: of the proposal; None where there was none, or the structure is in neither.
    """

    patient: str
    case: str
    z: int | None
    score: float | None
    slices_shown: int
    slices: int
    voxels: int
    contour_mm: float
    dice_liver: float | None
    dice_tumour: float | None


def correction_of(
    patient: str,
    case: str,
    z: int | None,
    score: float | None,
    *,
    truth: Labels,
    proposal: Labels | None,
    spacing_mm: SpacingMm,
) -> Correction:
    """Return the effort of correcting a proposal of a whole scan, or of one slice of it.

    Args:
        truth: the corrected labels of the scan.
        proposal: of the same shape; None is drawing from nothing.
        spacing_mm: along z, y and x.
    """
    start = np.zeros_like(truth) if proposal is None else proposal
    shown = slice(None) if z is None else slice(z, z + 1)
    pair = (truth[shown], start[shown])
    dices = (None, None) if proposal is None else [_dice(*pair, label) for label in (1, 2)]
    return Correction(patient, case, z, score, len(pair[0]), *correction_effort(*pair, spacing_mm), *dices)


def _dice(truth: Labels, proposal: Labels, label: int) -> float | None:
    """Return the Dice of a structure; None where it is in neither."""
    pair = (truth >= label, proposal >= label)
    return dice(count_voxels(*pair)) if pair[0].any() or pair[1].any() else None


@dataclass(frozen=True)
class LoopState:
    """State of a loop: the answers of each round.

    Args:
        config: hash of every option that affects the result, but the number of rounds.
        answers: of each round; the first were chosen before any training, round n trains on the first n.
    """

    config: str
    answers: tuple[tuple[Correction, ...], ...] = ()
    version: int = VERSION

    def labelled(self, rounds: int) -> list[Candidate]:
        """Return what is labelled in a round, as candidates in the order in which they were asked for."""
        found: dict[tuple[str, int | None, str], list[str]] = {}
        for answer in (each for answers in self.answers[:rounds] for each in answers):
            place = "" if answer.z is None else answer.case
            found.setdefault((answer.patient, answer.z, place), []).append(answer.case)
        return [Candidate(patient, tuple(cases), z) for (patient, z, _), cases in found.items()]

    def with_answers(self, answers: Sequence[Correction]) -> "LoopState":
        return replace(self, answers=(*self.answers, tuple(answers)))

    def write(self, folder: Path) -> None:
        write_whole(folder / FILE, json.dumps(asdict(self), indent=1) + "\n")


def read_state(folder: Path, config: str) -> LoopState:
    """Read the state of a folder; a new one if there is none.

    Raises:
        LiverError: it is damaged, of another version, or of a loop with another config.
    """
    path = folder / FILE
    if not path.exists():
        return LoopState(config)
    cure = "give another workspace="
    content = read_json(path, cure)
    with parsing(path, cure):
        version = content["version"]
        if version != VERSION:
            raise LiverError(f"{path}: expected version {VERSION}, found {version}; {cure}")
        state = TypeAdapter(LoopState).validate_python(content)
    if state.config != config:
        raise LiverError(f"{path}: {folder} holds a loop with another config; give another workspace=")
    return state
