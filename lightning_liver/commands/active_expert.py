"""Loop of active learning with an expert, who corrects proposed masks in a workspace: init, propose, accept, status."""

import logging
import shutil
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig

from lightning_liver.active.curve import RoundScore, write_tables
from lightning_liver.active.loop_state import correction_of
from lightning_liver.active.options import LoopOptions
from lightning_liver.active.pool import Candidate
from lightning_liver.active.pool_scans import cases_of_pool, given_patients, mask_beside, scans_of_pool
from lightning_liver.active.report import pictures_of, write_loop_report, write_picture
from lightning_liver.active.workspace import FILE, Places, PoolCase, WorkspaceState, read_workspace, write_workspace
from lightning_liver.active.workspace_text import described, listed, minutes, next_step, shown
from lightning_liver.build import build
from lightning_liver.commands.active_rounds import Networks, Rounds, check_members
from lightning_liver.config import compose, typed
from lightning_liver.errors import LiverError, Unfinished
from lightning_liver.files import replacing, required_folder
from lightning_liver.imageio.corrected_mask import read_corrected_mask
from lightning_liver.imageio.hu_values import doubtful_values
from lightning_liver.imageio.nifti import read_labels, read_map, read_volume, write_labels, write_map, write_volume
from lightning_liver.imageio.scans import Scan
from lightning_liver.inference.predict_volume import SCALE, Bytes
from lightning_liver.metrics.plausibility import doubtful_volumes
from lightning_liver.metrics.volumetry import measure_volumes
from lightning_liver.run_folder import RunFolder
from lightning_liver.runs.status import json_of
from lightning_liver.volume import Volume

log = logging.getLogger(__name__)

_OF_ONE_ACTION = ("action", "workspace", "pool", "run", "patients", "corrections", "accept_unchanged")


def init(cfg: DictConfig, folder: Path, typed: Sequence[str]) -> None:
    """Make a workspace of a pool of scans. A mask beside a scan counts as corrected.

    Raises:
        LiverError: no pool, a workspace that is there already, an invalid option, too few cases for the first training.
    """
    if (folder / FILE).exists():
        raise LiverError(
            f"workspace={folder}: there is one already; go on by action=status, or give another workspace="
        )
    pool = required_folder("pool", cfg.pool, "a folder of NIfTI files or DICOM series").resolve()
    names = _keys(typed)
    if "data" in names:
        raise LiverError(
            f"{typed[names.index('data')]}: expected no data set, the scans are those of pool; leave it out"
        )
    if cfg.unit != "case":
        raise LiverError(f"unit={cfg.unit}: expected unit=case in a loop with an expert, who corrects whole scans")
    run = None if cfg.run is None else str(required_folder("run", cfg.run, "a run folder").resolve())
    scans = scans_of_pool(pool, folder)
    state = WorkspaceState(
        str(pool),
        run,
        tuple(each for each, name in zip(typed, names, strict=True) if name not in _OF_ONE_ACTION),
        cases_of_pool(scans, pool, cfg.patients),
    )
    loop = ExpertLoop(state, folder, [])
    loop.places.make_folders()
    for scan in scans:
        loop.refuse_other_copy(scan)
        if mask := mask_beside(scan, pool):
            loop.take(scan.name, [mask], accept_unchanged=False)
    loop.check_size()
    loop.save()
    log.info(loop.described())


def propose(cfg: DictConfig, folder: Path, typed: Sequence[str]) -> None:
    """Choose cases, and write their scans and proposed masks for the expert.

    Raises:
        LiverError: no workspace, corrected cases that no round has trained with, no case or no round left; a scan that
            cannot be read.
    """
    loop = ExpertLoop(read_workspace(folder), folder, typed)
    if cfg.pool is not None:
        pool = required_folder("pool", cfg.pool, "the folder of the scans").resolve()
        loop.move_pool(pool)
    loop.leave_out_missing()
    if not loop.state.names("proposed") or loop.lacks_patients():
        loop.choose()
    loop.write_proposals()
    loop.write_report()
    log.info(loop.described())


def accept(cfg: DictConfig, folder: Path, typed: Sequence[str]) -> None:
    """Read and measure the corrected masks of all proposed cases, and train the next round with them.

    Raises:
        LiverError: nothing was proposed; cases without a valid correction, while the others are kept as corrected.
    """
    loop = ExpertLoop(read_workspace(folder), folder, typed)
    further = None if cfg.corrections is None else required_folder("corrections", cfg.corrections, "a folder of masks")
    if cfg.patients is not None:
        loop.give_patients(cfg.patients)
    loop.take_all(further, accept_unchanged=cfg.accept_unchanged)
    loop.train()
    log.info(loop.described())


def status(cfg: DictConfig, folder: Path, typed: Sequence[str]) -> None:
    """Say where a loop stands and what comes next.

    Raises:
        LiverError: no workspace.
    """
    log.info(ExpertLoop(read_workspace(folder), folder, typed).described())


class ExpertLoop:
    """A workspace and its rounds; every step is saved when it is complete.

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

    def refuse_other_copy(self, scan: Scan) -> None:
        """Refuse a scan in the workspace that has the name of one of the pool but is another.

        Raises:
            LiverError: as after action=init with another pool that did not end.
        """
        copy = self.places.scan(scan.name)
        if copy.is_file() and not np.array_equal(read_volume(copy).hu, scan.read().hu):
            raise LiverError(f"{copy}: expected a copy of {scan.path}, found another scan; remove it")

    def check_size(self) -> None:
        """Refuse a pool or a first choice that is too small.

        Raises:
            LiverError: fewer patients than training, validation and test need, or than are asked for at first.
        """
        known = len(self.state.candidates(list(self.state.cases)))
        labelled = len(self.state.candidates(self.state.names("corrected")))
        first = labelled or self.options.initial
        if first < (needed := self._needed):
            raise LiverError(
                f"initial={self.options.initial}: the first training has {first} patients, expected {needed}: "
                f"{self.options.val_patients} to validate, {self.options.test_patients} to test, one to train; give "
                "more, or test_patients=0"
            )
        if first > known:
            raise LiverError(
                f"initial={first}: expected at most {known}, the patients of the {len(self.state.cases)} scans in "
                f"{self.state.pool}; give fewer, or patients=CSV where scans of several patients have one identifier"
            )

    @property
    def _needed(self) -> int:
        return self.options.val_patients + self.options.test_patients + 1

    def lacks_patients(self) -> bool:
        """Return True if the cases of the first round are of fewer patients than it needs."""
        asked = self.state.candidates(self.state.names("proposed", "corrected"))
        return not self.state.rounds and len(asked) < self._needed

    def move_pool(self, pool: Path) -> None:
        """Go on with another place of the scans.

        Raises:
            LiverError: none of them is there.
        """
        if not any((pool / case.scan).exists() for case in self.state.cases.values()):
            raise LiverError(f"pool={pool}: expected the scans of {self.folder}, found none; give their folder")
        self.state = replace(self.state, pool=str(pool))
        self.save()

    def leave_out_missing(self) -> None:
        """Ask no longer for a case whose scan was removed, from the pool and from the workspace."""
        pool = Path(self.state.pool)
        if not any((pool / case.scan).exists() for case in self.state.cases.values()):
            return  # the pool was moved
        for name in self.state.names("proposed"):
            if not self.places.scan(name).is_file() and not (pool / self.state.cases[name].scan).exists():
                log.warning(f"{name}: its scan was removed; the case is left out")
                nothing = PoolCase(self.state.cases[name].patient, self.state.cases[name].scan)
                self.state = replace(self.state, cases={**self.state.cases, name: nothing})
        self.save()

    def choose(self) -> None:
        """Mark the cases that are asked for next as proposed.

        Raises:
            LiverError: corrected cases wait for their training; no case or no round is left.
        """
        number = self.state.rounds + 1
        if (waiting := self.state.names("corrected")) and not self.lacks_patients():
            raise LiverError(
                f"action=propose: {listed(waiting)} {'are' if len(waiting) > 1 else 'is'} corrected, but no round has "
                "trained with it; type action=accept first"
            )
        if number > self.options.rounds:
            raise LiverError(f"rounds={self.options.rounds}: all rounds are trained; give rounds={number} for another")
        left = self._left()
        if not left:
            raise LiverError(f"workspace={self.folder}: no unlabelled patient is left in {self.state.pool}")
        rng = np.random.default_rng([self.options.seed, number])
        asked_already = len(self.state.candidates(self.state.names("proposed", "corrected")))
        count = self._needed - asked_already if asked_already else self.options.asked_after(number - 1)
        if number == 1:
            asked: list[tuple[Candidate, float | None]] = [(left[i], None) for i in rng.permutation(len(left))[:count]]
        else:
            labelled = self.state.candidates(self.state.names("accepted"))
            readers = {name: partial(self.read, name) for name in self.state.cases}
            networks = self.rounds.networks(number - 1)
            asked = networks.choose(self.rounds.strategy, left, labelled, readers, count, rng)
        for candidate, score in asked:
            for name in candidate.cases:
                part = self._part(name)
                self.state = self.state.with_case(name, state="proposed", round=number, score=score, part=part)
        self.save()

    def _left(self) -> list[Candidate]:
        """Return the patients without labels that would train, but those whose scans were removed from the pool."""
        there = [
            name
            for name in self.state.names("unlabelled")
            if (Path(self.state.pool) / self.state.cases[name].scan).exists()
        ]
        for name in sorted({*self.state.names("unlabelled")} - {*there}):
            log.warning(f"{name}: {Path(self.state.pool) / self.state.cases[name].scan} is gone; the case is left out")
        if self.state.names("unlabelled") and not there:
            raise LiverError(f"pool={self.state.pool}: its scans are gone; give pool=DIR, where they are now")
        return self.state.candidates([name for name in there if self._part(name) in (None, "train")])

    def _part(self, name: str) -> Any:
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
        scan = self._scan(name)
        volume = scan.read()
        if (doubt := doubtful_values(volume.hu)) and doubt.is_label_map:
            raise LiverError(f"{scan.path}: {doubt.reason}; move it out of the pool")
        return volume

    def _scan(self, name: str) -> Scan:
        path = Path(self.state.pool) / self.state.cases[name].scan
        if not path.exists():
            raise LiverError(
                f"{path}: no such scan; type action=propose to leave it out, with pool=DIR if the pool was moved"
            )
        return Scan(path, name, path.is_dir())

    def write_proposals(self) -> None:
        """Write scan, proposal and map of uncertainty of each case that lacks them, the mark in the state last.

        Raises:
            LiverError: what is wrong with scans that cannot be read; the others are written.
        """
        pending = [name for name in self.state.names("proposed") if self.state.cases[name].proposed_at is None]
        if not pending:
            return
        number = self.state.rounds
        networks = self.rounds.networks(number) if number or self.rounds.first else None
        self.places.make_folders()
        wrong = []
        for name in pending:
            try:
                self._write_proposal(name, networks)
            except LiverError as error:
                wrong.append(str(error))
                continue
            self.state = self.state.with_case(name, proposed_at=_utc(datetime.now(UTC).timestamp()))
            self.save()
            log.info(f"{name}: {shown(self.places.shown / f'{name}.nii.gz' if networks else self.places.scan(name))}")
        if wrong:
            raise LiverError("\n".join([*wrong, "Without these scans in the pool, action=propose goes on."]))

    def _write_proposal(self, name: str, networks: Networks | None) -> None:
        volume = self.read(name)
        self._copy_scan(name, volume)
        if networks is None:
            return
        if not self.places.proposal(name).is_file():
            labels, uncertainty = networks.propose(volume)
            write_map(
                self.places.uncertainty(name), uncertainty, volume.affine, volume.forms, largest=SCALE[networks.kind]
            )
            write_labels(self.places.proposal(name), labels, volume.affine, volume.forms)
        given = self.places.shown / self.places.proposal(name).name
        if not given.exists():  # else a person may have edited it
            with replacing(given) as partial_:
                shutil.copyfile(self.places.proposal(name), partial_)
        self._draw(name, volume, read_labels(self.places.proposal(name), volume), None)

    def _draw(self, name: str, volume: Volume, proposal: Bytes | None, answer: Bytes | None) -> None:
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

    def write_report(self) -> None:
        """Write report.html of all rounds, and of what is asked for now."""
        if not self.options.report:
            return
        number = self.state.rounds
        answers = self.state.answers(number + 1)
        begun = answers if answers[-1] else answers[:-1]
        names = {(case.round, name, None): case for name, case in self.state.cases.items() if case.round is not None}
        is_at_hand = any(case.round == 1 and case.proposed_at is None for case in self.state.cases.values())
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

    def _copy_scan(self, name: str, volume: Volume) -> None:
        if self.places.scan(name).is_file():
            return
        scan = self._scan(name)
        if scan.is_dicom:
            write_volume(self.places.studies / f"{name}.nii.gz", volume)
            return
        suffix = ".nii.gz" if scan.path.name.lower().endswith(".gz") else ".nii"
        with replacing(self.places.studies / f"{name}{suffix}") as partial_:
            shutil.copyfile(scan.path, partial_)

    def take_all(self, further: Path | None, *, accept_unchanged: bool) -> None:
        """Take the correction of every proposed case, and again of a case that no round has trained with.

        Raises:
            LiverError: what is wrong with those that have no valid one; the others are kept as corrected.
        """
        proposed, corrected = self.state.names("proposed"), self.state.names("corrected")
        if not proposed and not corrected:
            raise LiverError(f"workspace={self.folder}: nothing is proposed; type action=propose first")
        wrong = []
        saved_again = {name: files for name in corrected if (files := self._saved_again(name, further))}
        for name in (*saved_again, *proposed):
            try:
                if name in saved_again:
                    log.info(f"{name}: {' and '.join(map(shown, saved_again[name]))} is read again")
                elif self.state.cases[name].proposed_at is None:
                    raise LiverError(f"{name}: its proposal is not complete; type action=propose again")
                files = saved_again.get(name) or self.places.corrections(name, further)
                self.take(name, files, accept_unchanged=accept_unchanged)
                self.save()
            except LiverError as error:
                wrong.append(str(error))
        if wrong:
            count = len(saved_again) + len(proposed)
            kept = f"\n{count - len(wrong)} of {count} corrections are read and kept."
            raise LiverError("\n".join(wrong) + (kept if count > 1 else ""))

    def _saved_again(self, name: str, further: Path | None) -> list[Path]:
        """Return the files of a corrected case if one was saved after it was read."""
        case = self.state.cases[name]
        source = Path(str(case.source))
        files = self.places.corrections(name, further) or [source] * source.is_file()
        read = (source.name, case.corrected_at)
        return files if any((file.name, _utc(file.stat().st_mtime)) != read for file in files) else []

    def take(self, name: str, files: Sequence[Path], *, accept_unchanged: bool) -> None:
        """Read and check the corrected mask of a case, measure its effort, and keep it as accepted/NAME.nii.gz.

        Raises:
            LiverError: no file or several, an unchanged proposal, a mask that cannot be read or is of another scan.
        """
        case = self.state.cases[name]
        volume = self.read(name)
        self._copy_scan(name, volume)
        proposal = read_labels(self.places.proposal(name), volume) if self.places.proposal(name).is_file() else None
        file = self._correction(name, files, unchanged=self.places.proposal(name) if accept_unchanged else None)
        labels = read_corrected_mask(file, volume)
        if proposal is not None and not accept_unchanged and np.array_equal(labels, proposal):
            raise LiverError(f"{shown(file)}: no voxel differs from the proposal; correct it, or {_UNCHANGED}")
        for doubt in doubtful_volumes(measure_volumes(labels, volume.spacing_mm)):
            log.warning(f"{name}: {doubt}")
        if case.state == "corrected" and not np.array_equal(labels, read_labels(self.places.accepted(name), volume)):
            self.rounds.remove(self.state.rounds + 1)  # may have begun with the mask as it was
        write_labels(self.places.accepted(name), labels, volume.affine, volume.forms)
        self._draw(name, volume, proposal, labels)
        answer = correction_of(
            case.patient, name, None, case.score, truth=labels, proposal=proposal, spacing_mm=volume.spacing_mm
        )
        self.state = self.state.with_case(
            name,
            state="corrected",
            round=case.round or 1,
            source=str(file),
            corrected_at=_utc(file.stat().st_mtime),
            answer=answer,
        )

    def _correction(self, name: str, files: Sequence[Path], *, unchanged: Path | None) -> Path:
        """Return the one file of a correction, or the proposal if it may be taken unchanged."""
        if len(files) > 1:
            raise LiverError(
                f"{name}: expected one corrected mask, found {' and '.join(map(shown, files))}; keep one of them"
            )
        if files:
            return files[0]
        if unchanged is not None and unchanged.is_file():
            return unchanged
        save = f"save it as {shown(self.places.final / name)}.nii.gz, .seg.nrrd or .dcm"
        if not self.places.proposal(name).is_file():
            raise LiverError(f"{name}: no mask yet; draw one and {save}")
        over = self.places.shown / self.places.proposal(name).name
        raise LiverError(f"{name}: its proposal is not corrected yet; {save}, or over {shown(over)}, or {_UNCHANGED}")

    def train(self) -> None:
        """Train the next round with all labelled cases, report it, and mark them as accepted.

        Raises:
            LiverError: too few patients for the first training; what the training refuses.
        """
        corrected = self.state.names("corrected")
        self._assign_parts(corrected)
        self.save()
        number = self.state.rounds + 1
        known = self.state.names("corrected", "accepted")
        self.places.write_table(self.state, known=known)
        log.info(f"Round {number} trains on {listed([n for n in known if self.state.cases[n].part == 'train'])}")
        try:
            self.rounds.train(number, {}, asks=True)
        except Unfinished:
            raise
        except LiverError as error:
            raise LiverError(
                f"{error}\nRound {number} is not trained, the corrections are kept. action=accept reads a mask that is "
                "saved again, and patients=CSV for it makes scans those of one patient; a round that has begun goes on "
                f"with the options that it began with, or, without {shown(self.rounds.run(number))}, begins anew."
            ) from error
        for name in corrected:
            self.state = self.state.with_case(name, state="accepted")
        self.state = replace(self.state, rounds=number)
        write_tables(self.folder, self.state.answers(number), self.points())
        self.write_report()
        self.save()

    def give_patients(self, path: object) -> None:
        """Give cases the patients of a CSV, and those that no round has trained with their parts anew.

        Raises:
            LiverError: an invalid CSV; scans of one patient both train and test since an earlier round.
        """
        for name, patient in given_patients(list(self.state.cases), path).items():
            answer = self.state.cases[name].answer
            self.state = self.state.with_case(
                name, patient=patient, answer=None if answer is None else replace(answer, patient=patient)
            )
        accepted = self.state.names("accepted")
        for candidate in self.state.candidates(accepted):
            if len({self.state.cases[name].part for name in candidate.cases}) > 1:
                raise LiverError(
                    f"patients={path}: {listed(candidate.cases)} are in different parts since an earlier round; begin "
                    "with action=init in another workspace=, with the masks in accepted/ beside the scans"
                )
        for name in self.state.names("proposed", "corrected"):
            self.state = self.state.with_case(name, part=None)
        self.rounds.remove(self.state.rounds + 1)
        self.save()

    def _assign_parts(self, corrected: Sequence[str]) -> None:
        """Assign the first patients at random to validation, test and training, and later ones to training."""
        patients = [each.patient for each in self.state.candidates(corrected)]
        parts = dict.fromkeys(patients, "train")
        if not self.state.rounds and not any(self.state.cases[name].part for name in corrected):
            if len(patients) < self._needed:
                raise LiverError(
                    f"action=accept: the first training has {len(patients)} patients, expected {self._needed} with "
                    f"val_patients={self.options.val_patients} and test_patients={self.options.test_patients}; type "
                    "action=propose for more"
                )
            order = np.random.default_rng([self.options.seed, 0]).permutation(len(patients))
            held = ["val"] * self.options.val_patients + ["test"] * self.options.test_patients
            parts |= {patients[i]: part for i, part in zip(order, held, strict=False)}
        for name in corrected:
            part = self._part(name) or parts[self.state.cases[name].patient]
            self.state = self.state.with_case(name, part=part)

    def points(self) -> list[RoundScore]:
        """Return the learning curve."""
        answers = self.state.answers(self.state.rounds)
        metrics = [json_of(RunFolder(self.rounds.run(n)).metrics) or {} for n in range(1, self.state.rounds + 1)]
        return [RoundScore.of(n, answers[:n], each) for n, each in enumerate(metrics, start=1)]

    def described(self) -> str:
        return described(self.state, self.places, self.points(), self.options.rounds)


_UNCHANGED = "give accept_unchanged=true to take it as it is"


def _config(state: WorkspaceState, overrides: Sequence[str], places: Places) -> DictConfig:
    """Compose the config of a workspace: what init was given, then what this command line says."""
    now = [each for each, name in zip(overrides, _keys(overrides), strict=True) if name not in _OF_ONE_ACTION]
    names = set(_keys(now))
    then = [each for each, name in zip(state.options, _keys(state.options), strict=True) if name not in names]
    table = f"data.table={typed(str(places.table().resolve()))}"
    return compose("active", [*then, *now, "data=csv", table])


def _keys(overrides: Sequence[str]) -> list[str]:
    return [str(each.key_or_group) for each in OverridesParser.create().parse_overrides(list(overrides))]


def _utc(timestamp: float) -> str:
    return datetime.fromtimestamp(timestamp, UTC).isoformat(timespec="seconds")
