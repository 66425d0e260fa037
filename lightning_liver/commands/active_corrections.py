"""Corrections of a loop with an expert: masks that are read, checked and measured, and the round they train."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from lightning_liver.active.curve import write_tables
from lightning_liver.active.loop_state import correction_of
from lightning_liver.active.pool_scans import given_patients
from lightning_liver.active.workspace_text import listed, shown
from lightning_liver.commands.active_workspace import OpenWorkspace, utc
from lightning_liver.errors import LiverError, Unfinished
from lightning_liver.imageio.corrected_mask import read_corrected_mask
from lightning_liver.imageio.nifti import read_labels, read_volume, write_labels
from lightning_liver.imageio.scans import Scan
from lightning_liver.metrics.plausibility import doubtful_volumes
from lightning_liver.metrics.volumetry import measure_volumes

log = logging.getLogger(__name__)

_UNCHANGED = "give accept_unchanged=true to take it as it is"


class Accepting(OpenWorkspace):
    """A workspace whose corrected masks are read; every step is saved when it is complete."""

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
        if first < (needed := self.needed):
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
        return files if any((file.name, utc(file.stat().st_mtime)) != read for file in files) else []

    def take(self, name: str, files: Sequence[Path], *, accept_unchanged: bool) -> None:
        """Read and check the corrected mask of a case, measure its effort, and keep it as accepted/NAME.nii.gz.

        Raises:
            LiverError: no file or several, an unchanged proposal, a mask that cannot be read or is of another scan.
        """
        case = self.state.cases[name]
        volume = self.read(name)
        self.copy_scan(name, volume)
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
        self.draw(name, volume, proposal, labels)
        answer = correction_of(
            case.patient, name, None, case.score, truth=labels, proposal=proposal, spacing_mm=volume.spacing_mm
        )
        self.state = self.state.with_case(
            name,
            state="corrected",
            round=case.round or 1,
            source=str(file),
            corrected_at=utc(file.stat().st_mtime),
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
            if len(patients) < self.needed:
                raise LiverError(
                    f"action=accept: the first training has {len(patients)} patients, expected {self.needed} with "
                    f"val_patients={self.options.val_patients} and test_patients={self.options.test_patients}; type "
                    "action=propose for more"
                )
            order = np.random.default_rng([self.options.seed, 0]).permutation(len(patients))
            held = ["val"] * self.options.val_patients + ["test"] * self.options.test_patients
            parts |= {patients[i]: part for i, part in zip(order, held, strict=False)}
        for name in corrected:
            part = self.part_of(name) or parts[self.state.cases[name].patient]
            self.state = self.state.with_case(name, part=part)
