"""Workspace of a loop with an expert, opened by a command: its state, options, scans, pictures and report."""

import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig

from lightning_liver.active.curve import RoundScore
from lightning_liver.active.options import LoopOptions
from lightning_liver.active.report import pictures_of, write_loop_report, write_picture
from lightning_liver.active.workspace import Places, WorkspaceState, write_workspace
from lightning_liver.active.workspace_text import described, minutes, next_step, shown
from lightning_liver.build import build
from lightning_liver.commands.active_rounds import Rounds, check_members
from lightning_liver.config import compose, typed
from lightning_liver.errors import LiverError
from lightning_liver.files import replacing
from lightning_liver.imageio.hu_values import doubtful_values
from lightning_liver.imageio.nifti import read_map, read_volume, write_volume
from lightning_liver.imageio.scans import Scan
from lightning_liver.inference.predict_volume import Bytes
from lightning_liver.run_folder import RunFolder
from lightning_liver.runs.status import json_of
from lightning_liver.volume import Volume

OF_ONE_ACTION = ("action", "workspace", "pool", "run", "patients", "corrections", "accept_unchanged")


class OpenWorkspace:
    """A workspace, its options and its rounds.

    Args:
        typed: overrides of this command line, which hold for this action alone.
    """

    def __init__(self, state: WorkspaceState, folder: Path, typed: Sequence[str]) -> None:
        self.state, self.folder, self.places = state, folder, Places(folder)
        cfg = _config(state, typed, self.places)
        self.options = LoopOptions(**{name: cfg[name] for name in LoopOptions.__dataclass_fields__})
        strategy = build(cfg.strategy)
        check_members(cfg, strategy.keywords)
        first = None if state.run is None else Path(state.run)
        self.rounds = Rounds(cfg, folder, self.options, strategy, first)

    def save(self) -> None:
        write_workspace(self.folder, self.state)

    @property
    def needed(self) -> int:
        """Number of patients that the first training needs."""
        return self.options.val_patients + self.options.test_patients + 1

    def part_of(self, name: str) -> Any:
        """Return the part in which the patient of a case is already."""
        patient = self.state.cases[name].patient
        return next((case.part for case in self.state.cases.values() if case.patient == patient and case.part), None)

    def read(self, name: str) -> Volume:
        """Read a scan, of the workspace or of the pool.

        Raises:
            LiverError: it cannot be read, or is a mask.
        """
        if self.places.scan(name).is_file():
            return read_volume(self.places.scan(name))
        scan = self.scan(name)
        volume = scan.read()
        if (doubt := doubtful_values(volume.hu)) and doubt.is_label_map:
            raise LiverError(f"{scan.path}: {doubt.reason}; move it out of the pool")
        return volume

    def scan(self, name: str) -> Scan:
        path = Path(self.state.pool) / self.state.cases[name].scan
        if not path.exists():
            raise LiverError(
                f"{path}: no such scan; type action=propose to leave it out, with pool=DIR if the pool was moved"
            )
        return Scan(path, name, path.is_dir())

    def copy_scan(self, name: str, volume: Volume) -> None:
        if self.places.scan(name).is_file():
            return
        scan = self.scan(name)
        if scan.is_dicom:
            write_volume(self.places.studies / f"{name}.nii.gz", volume)
            return
        suffix = ".nii.gz" if scan.path.name.lower().endswith(".gz") else ".nii"
        with replacing(self.places.studies / f"{name}{suffix}") as partial_:
            shutil.copyfile(scan.path, partial_)

    def draw(self, name: str, volume: Volume, proposal: Bytes | None, answer: Bytes | None) -> None:
        if not self.options.report:
            return
        path, case = self.places.uncertainty(name), self.state.cases[name]
        number = case.round or 1
        write_picture(
            self.folder,
            (number, name, None),
            case.score,
            volume,
            proposal=proposal,
            uncertainty=read_map(path, volume)[0] if proposal is not None and path.is_file() else None,
            answer=answer,
            strategy=self.rounds.strategy_name,
            kind=self.rounds.kind(number - 1),
            window_hu=self.rounds.window_hu,
        )

    def points(self) -> list[RoundScore]:
        """Return the learning curve."""
        answers = self.state.answers(self.state.rounds)
        metrics = [json_of(RunFolder(self.rounds.run(n)).metrics) or {} for n in range(1, self.state.rounds + 1)]
        return [RoundScore.of(n, answers[:n], each) for n, each in enumerate(metrics, start=1)]

    def write_report(self) -> None:
        """Write report.html of all rounds, and of what is asked for now."""
        if not self.options.report:
            return
        number = self.state.rounds
        answers = self.state.answers(number + 1)
        begun = answers if answers[-1] else answers[:-1]
        names = {(case.round, name, None): case for name, case in self.state.cases.items() if case.round is not None}
        is_at_hand = any(case.answer is not None and case.proposed_at is None for case in self.state.cases.values())
        write_loop_report(
            self.folder,
            self.points(),
            begun,
            title=shown(self.folder),
            strategy=self.rounds.strategy_name,
            waiting=[(name, None, self.state.cases[name].score) for name in self.state.names("proposed")],
            next_step=next_step(self.state, self.places, self.options.rounds),
            pictures=pictures_of(self.folder, names),
            minutes={key: passed for key, case in names.items() if (passed := minutes(case)) is not None},
            **({"first": "Masks that were beside the scans."} if is_at_hand else {}),
        )

    def described(self) -> str:
        return described(self.state, self.places, self.points(), self.options.rounds)


def _config(state: WorkspaceState, overrides: Sequence[str], places: Places) -> DictConfig:
    """Compose the config of a workspace: what init was given, then what this command line says."""
    now = [each for each, name in zip(overrides, keys(overrides), strict=True) if name not in OF_ONE_ACTION]
    names = set(keys(now))
    then = [each for each, name in zip(state.options, keys(state.options), strict=True) if name not in names]
    table = f"data.table={typed(str(places.table().resolve()))}"
    return compose("active", [*then, *now, "data=csv", table])


def keys(overrides: Sequence[str]) -> list[str]:
    return [str(each.key_or_group) for each in OverridesParser.create().parse_overrides(list(overrides))]


def utc(timestamp: float) -> str:
    return datetime.fromtimestamp(timestamp, UTC).isoformat(timespec="seconds")
