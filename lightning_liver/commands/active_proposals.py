"""Proposals of a loop with an expert: which cases are asked for, and what is written for the expert."""

import logging
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np

from lightning_liver.active.pool import Candidate
from lightning_liver.active.workspace import PoolCase
from lightning_liver.active.workspace_text import listed, shown
from lightning_liver.commands.active_rounds import Networks
from lightning_liver.commands.active_workspace import OpenWorkspace, utc
from lightning_liver.errors import LiverError
from lightning_liver.files import replacing
from lightning_liver.imageio.nifti import read_labels, write_labels, write_map
from lightning_liver.inference.predict_volume import SCALE

log = logging.getLogger(__name__)


class Proposing(OpenWorkspace):
    """A workspace whose next cases are chosen and written."""

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

    def lacks_patients(self) -> bool:
        """Return True if the cases of the first round are of fewer patients than it needs."""
        asked = self.state.candidates(self.state.names("proposed", "corrected"))
        return not self.state.rounds and len(asked) < self.needed

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
        count = self.needed - asked_already if asked_already else self.options.asked_after(number - 1)
        if number == 1:
            asked: list[tuple[Candidate, float | None]] = [(left[i], None) for i in rng.permutation(len(left))[:count]]
        else:
            labelled = self.state.candidates(self.state.names("accepted"))
            readers = {name: partial(self.read, name) for name in self.state.cases}
            networks = self.rounds.networks(number - 1)
            asked = networks.choose(self.rounds.strategy, left, labelled, readers, count, rng)
        for candidate, score in asked:
            for name in candidate.cases:
                part = self.part_of(name)
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
        return self.state.candidates([name for name in there if self.part_of(name) in (None, "train")])

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
            self.state = self.state.with_case(name, proposed_at=utc(datetime.now(UTC).timestamp()))
            self.save()
            log.info(f"{name}: {shown(self.places.shown / f'{name}.nii.gz' if networks else self.places.scan(name))}")
        if wrong:
            raise LiverError("\n".join([*wrong, "Without these scans in the pool, action=propose goes on."]))

    def _write_proposal(self, name: str, networks: Networks | None) -> None:
        volume = self.read(name)
        self.copy_scan(name, volume)
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
        self.draw(name, volume, read_labels(self.places.proposal(name), volume), None)
