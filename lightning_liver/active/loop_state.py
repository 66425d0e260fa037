"""State of a simulated loop: active.json, a small file that is written whole after every choice."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from pydantic import TypeAdapter

from lightning_liver.active.pool import Candidate
from lightning_liver.errors import LiverError
from lightning_liver.files import write_whole
from lightning_liver.readers import parsing, read_json

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
