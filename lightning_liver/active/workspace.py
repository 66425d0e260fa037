"""Workspace of a loop with an expert: its state, workspace.json, and the places of its files.

The folder `studies` has the layout of MONAI Label's local data store, so its server can be started on it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import TypeAdapter

from lightning_liver.active.loop_state import Correction
from lightning_liver.active.pool import Candidate
from lightning_liver.data.splits import PARTS
from lightning_liver.errors import LiverError
from lightning_liver.files import write_whole
from lightning_liver.imageio.corrected_mask import CORRECTED_SUFFIXES
from lightning_liver.readers import parsing, read_json
from lightning_liver.tables import write_csv

VERSION = 1
FILE = "workspace.json"
_CURE = "restore a copy, or begin with action=init in another workspace="

State = Literal["unlabelled", "proposed", "corrected", "accepted"]
Part = Literal["train", "val", "test"]

STATES: tuple[State, ...] = ("unlabelled", "proposed", "corrected", "accepted")


@dataclass(frozen=True)
class PoolCase:
    """A scan of the pool.

    Args:
        patient: all scans of a patient are asked for together.
        scan: path of the NIfTI file or of the folder of the DICOM series, below the pool.
        state: unlabelled; proposed to the expert; corrected, its mask is read and checked; accepted, a round has
            trained with it.
        round: the training that it is asked for, from 1.
        score: of its candidate, by which it was chosen; None where the strategy has none.
        part: of the training in which it takes part.
        proposed_at: UTC; None until its files are written.
        source: file that the mask was read from.
        corrected_at: UTC, when that file was last changed.
        answer: the effort of the correction.
    """

    patient: str
    scan: str
    state: State = "unlabelled"
    round: int | None = None
    score: float | None = None
    part: Part | None = None
    proposed_at: str | None = None
    source: str | None = None
    corrected_at: str | None = None
    answer: Correction | None = None


@dataclass(frozen=True)
class WorkspaceState:
    """State of a loop with an expert.

    Args:
        pool: folder of the scans.
        run: run folder of the first network, which proposes masks before the first training; None has none.
        options: overrides of the command line of action=init, which hold for every later action.
        rounds: trainings that are complete.
        cases: by name, in the order of the pool.
    """

    pool: str
    run: str | None
    options: tuple[str, ...]
    cases: Mapping[str, PoolCase]
    rounds: int = 0
    version: int = field(default=VERSION)

    def names(self, *states: State) -> list[str]:
        """Return the names of the cases in any of some states."""
        return [name for name, case in self.cases.items() if case.state in states]

    def with_case(self, name: str, **changes: object) -> "WorkspaceState":
        return replace(self, cases={**self.cases, name: replace(self.cases[name], **changes)})  # type: ignore[arg-type]

    def candidates(self, names: Sequence[str]) -> list[Candidate]:
        """Return the patients of some cases as candidates, sorted."""
        found: dict[str, list[str]] = {}
        for name in names:
            found.setdefault(self.cases[name].patient, []).append(name)
        ordered = sorted(found.items(), key=lambda item: (len(item[0]), item[0]))
        return [Candidate(patient, tuple(sorted(cases))) for patient, cases in ordered]

    def answers(self, rounds: int) -> list[list[Correction]]:
        """Return the corrections that each of the first rounds added."""
        return [
            [case.answer for case in self.cases.values() if case.round == number and case.answer is not None]
            for number in range(1, rounds + 1)
        ]


def read_workspace(folder: Path) -> WorkspaceState:
    """Read the state of a workspace.

    Raises:
        LiverError: there is none, it is damaged, or of another version.
    """
    path = folder / FILE
    if not path.is_file():
        raise LiverError(f"workspace={folder}: expected a workspace with a {FILE}; make one by action=init pool=DIR")
    content = read_json(path, _CURE)
    with parsing(path, _CURE):
        if content["version"] != VERSION:
            raise LiverError(
                f"{path}: expected version {VERSION}, found {content['version']}; go on with the version of "
                "lightning-liver that made it, or begin with action=init in another workspace="
            )
        return TypeAdapter(WorkspaceState).validate_python(content)


def write_workspace(folder: Path, state: WorkspaceState) -> None:
    write_whole(folder / FILE, json.dumps(asdict(state), indent=1, ensure_ascii=False) + "\n")


class Places(NamedTuple):
    """Places of the files of a workspace."""

    folder: Path

    @property
    def studies(self) -> Path:
        return self.folder / "studies"

    @property
    def shown(self) -> Path:
        """Folder of the proposals that the expert opens."""
        return self.studies / "labels" / "original"

    @property
    def final(self) -> Path:
        """Folder to which MONAI Label saves."""
        return self.studies / "labels" / "final"

    def scan(self, name: str) -> Path:
        """Return the scan, as a NIfTI file."""
        plain = self.studies / f"{name}.nii"
        return plain if plain.is_file() else self.studies / f"{name}.nii.gz"

    def proposal(self, name: str) -> Path:
        """Return the mask as it was proposed, a copy that nobody edits."""
        return self.folder / "proposals" / f"{name}.nii.gz"

    def uncertainty(self, name: str) -> Path:
        return self.folder / "proposals" / f"{name}-uncertainty.nii.gz"

    def accepted(self, name: str) -> Path:
        """Return the corrected mask, from which rounds are trained."""
        return self.folder / "accepted" / f"{name}.nii.gz"

    def table(self) -> Path:
        return self.folder / "labelled.csv"

    def make_folders(self) -> None:
        for folder in (self.shown, self.final, self.folder / "proposals", self.folder / "accepted"):
            folder.mkdir(parents=True, exist_ok=True)

    def corrections(self, name: str, further: Path | None = None) -> list[Path]:
        """Return the files that may be the corrected mask of a case; not a proposal that nobody changed.

        A correction is named as the scan or, for volume-N, segmentation-N, in `studies`, its folders of labels, or a
        further folder.
        """
        folders = [
            each for each in (further, self.final, self.shown, self.studies) if each is not None and each.is_dir()
        ]
        once = {each.resolve(): each for each in folders}.values()
        files = [file for each in once for file in sorted(each.iterdir()) if _is_mask_of(name, file)]
        return [file for file in files if file != self.scan(name) and not self._is_untouched(name, file)]

    def _is_untouched(self, name: str, file: Path) -> bool:
        proposal = self.proposal(name)
        return (
            file == self.shown / proposal.name
            and proposal.is_file()
            and file.stat().st_size == proposal.stat().st_size
            and file.read_bytes() == proposal.read_bytes()
        )

    def write_table(self, state: WorkspaceState, *, known: Sequence[str]) -> Path:
        """Write the table of labelled cases that the next round reads as data=csv, sorted by part."""
        rows = [
            {
                "image": str(self.scan(name).relative_to(self.folder)),
                "mask": str(self.accepted(name).relative_to(self.folder)),
                "patient": state.cases[name].patient,
                "split": state.cases[name].part,
            }
            for part in PARTS
            for name in known
            if state.cases[name].part == part
        ]
        write_csv(self.table(), rows)
        return self.table()


def _is_mask_of(name: str, file: Path) -> bool:
    stems = {name.lower()}
    if name.lower().startswith("volume-"):
        stems.add(name.lower().replace("volume-", "segmentation-", 1))
    found = file.name.lower()
    return any(found == f"{stem}{suffix}" for stem in stems for suffix in CORRECTED_SUFFIXES) and file.is_file()
