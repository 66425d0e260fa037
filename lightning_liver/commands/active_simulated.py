"""Loop of active learning that the masks of a data set answer, in place of an expert."""

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig

from lightning_liver.active.curve import RoundScore, curve_table, write_tables
from lightning_liver.active.loop_state import Correction, LoopState, correction_of, read_state
from lightning_liver.active.options import LoopOptions
from lightning_liver.active.pool import Candidate, candidates_of
from lightning_liver.active.report import pictures_of, write_loop_report, write_picture
from lightning_liver.active.workspace_text import shown
from lightning_liver.build import build, prepared
from lightning_liver.commands.active_rounds import OF_THE_LOOP, Networks, Rounds, check_members
from lightning_liver.config import identity
from lightning_liver.data.address import place_of
from lightning_liver.data.labelled_slices import write_labelled_slices
from lightning_liver.data.mirror import reading
from lightning_liver.data.splits import Split
from lightning_liver.data.store import Store
from lightning_liver.errors import LiverError
from lightning_liver.imageio.nifti import read_volume
from lightning_liver.run_folder import NAMES
from lightning_liver.training.assembly import new_split
from lightning_liver.volume import Volume

log = logging.getLogger(__name__)

_OF_THE_EXPERT = OF_THE_LOOP[OF_THE_LOOP.index("pool") :]
_GROWING = ("rounds", "workspace", "action", *_OF_THE_EXPERT)  # a loop may be continued with other ones


def simulate(cfg: DictConfig, folder: Path, options: LoopOptions) -> list[RoundScore]:
    """Train, ask for labels of a part of the pool, and train again.

    Each round is a run folder in `rounds/`. What was asked for stands in active.json, its effort in effort.csv, the
    learning curve in curve.csv and curve.png, all of it in report.html. The same command goes on with a loop that
    was interrupted.

    Raises:
        LiverError: an invalid option, no labelled scans, fewer candidates than are asked for, a workspace of another
            loop.
    """
    strategy = build(cfg.strategy)
    check_members(cfg, strategy.keywords)
    store = prepared(cfg.data)
    if not store.labelled():
        raise LiverError(
            f"data.root={cfg.data.get('root')}: expected scans with masks, which answer in place of an expert; give "
            "a data set with masks"
        )
    loop = Loop(Rounds(cfg, folder, options, strategy), store, new_split(cfg.data, store))
    loop.check_size()
    return loop.run()


class Loop:
    """The rounds of a simulated loop in a workspace.

    Args:
        split: its training cases are the pool; the others validate and test every round.
    """

    def __init__(self, rounds: Rounds, store: Store, split: Split) -> None:
        self.rounds, self.store, self.split = rounds, store, split
        self.folder, self.options = rounds.folder, rounds.options
        records = [store.cases[name] for name in split.train]
        self.candidates = candidates_of(records, self.options.unit, every=self.options.every)

    def check_size(self) -> None:
        """Refuse to ask for more candidates than there are.

        Raises:
            LiverError: initial, per_round and rounds are too large together.
        """
        asked, known = self.options.asked, len(self.candidates)
        if sum(asked) > known:
            rounds = next(n for n in range(len(asked)) if sum(asked[: n + 1]) > known)
            unit = "patients" if self.options.unit == "case" else f"slices (every={self.options.every})"
            raise LiverError(
                f"rounds={len(asked)}: initial and per_round ask for {sum(asked)} of {known} {unit} in the pool; "
                f"expected at most {known}, as in rounds={max(rounds, 1)}"
            )

    def run(self) -> list[RoundScore]:
        state = read_state(self.folder, _identity(self.rounds.cfg))
        points: list[RoundScore] = []
        for number, count in enumerate(self.options.asked, start=1):
            if len(state.answers) < number:
                state = state.with_answers(self._answers(state, number, count))
                state.write(self.folder)
            names = ", ".join(candidate.name for candidate in state.labelled(number))
            log.info(f"Round {number} of {self.options.rounds} trains on {names}")
            asks = number < self.options.rounds  # the last round asks for nothing
            metrics = self.rounds.train(number, self._data(state, number), asks=asks)
            points.append(RoundScore.of(number, state.answers[:number], metrics))
            write_tables(self.folder, state.answers[:number], points)
            if self.options.report:
                self._write_report(state, points)
        written = self.folder / (NAMES.report if self.options.report else "curve.png")
        log.info(f"{curve_table(points)}\n\n{shown(written)}")
        return points

    def _answers(self, state: LoopState, number: int, count: int) -> list[Correction]:
        """Return the labelled candidates that are added before a round, and their effort."""
        labelled = state.labelled(number - 1)
        known = {(candidate.patient, candidate.cases, candidate.z) for candidate in labelled}
        left = [each for each in self.candidates if (each.patient, each.cases, each.z) not in known]
        rng = np.random.default_rng([self.options.seed, number])
        if number == 1:
            chosen = rng.permutation(len(left))[:count]
            return self._corrected(1, [(left[i], None) for i in chosen], None)
        networks = self.rounds.networks(number - 1)
        readers = {name: partial(self._read, name) for name in self.split.train}
        asked = networks.choose(self.rounds.strategy, left, labelled, readers, count, rng)
        return self._corrected(number, asked, networks)

    def _read(self, case: str) -> Volume:
        return reading(place_of(self.store.cases[case].volume), read_volume)

    def _corrected(
        self, number: int, asked: Sequence[tuple[Candidate, float | None]], networks: Networks | None
    ) -> list[Correction]:
        """Return the answer of each case of the candidates; without a network they are drawn from nothing.

        A case of which several slices are asked for is read and proposed once.
        """
        places = [(name, candidate, score) for candidate, score in asked for name in candidate.cases]
        answers: dict[tuple[str, int | None], Correction] = {}
        for case in dict.fromkeys(name for name, _, _ in places):
            record = self.store.cases[case]
            truth = np.stack([self.store.read(case, "native_labels", z) for z in range(record.native_shape[0])])
            volume = None if networks is None else self._read(case)
            proposal, uncertainty = (None, None) if volume is None or networks is None else networks.propose(volume)
            for _, (patient, _, z), score in (each for each in places if each[0] == case):
                answers[case, z] = correction_of(
                    patient, case, z, score, truth=truth, proposal=proposal, spacing_mm=record.native_spacing_mm
                )
                if volume is not None and networks is not None and self.options.report:
                    write_picture(
                        self.folder,
                        (number, case, z),
                        score,
                        volume,
                        proposal=proposal,
                        uncertainty=uncertainty,
                        answer=truth,
                        strategy=self.rounds.strategy_name,
                        kind=networks.kind,
                        window_hu=self.rounds.window_hu,
                    )
        return [answers[name, candidate.z] for name, candidate, _ in places]

    def _write_report(self, state: LoopState, points: Sequence[RoundScore]) -> None:
        keys = [(n, each.case, each.z) for n, answers in enumerate(state.answers, start=1) for each in answers]
        write_loop_report(
            self.folder,
            points,
            state.answers[: len(points)],
            title=shown(self.folder),
            strategy=self.rounds.strategy_name,
            pictures=pictures_of(self.folder, keys),
        )

    def _data(self, state: LoopState, number: int) -> dict[str, Any]:
        """Return the values of the data config of a round."""
        labelled = state.labelled(number)
        parts = {"train": list(dict.fromkeys(each.patient for each in labelled))}
        parts |= {part: self._patients(getattr(self.split, part)) for part in ("val", "test")}
        data: dict[str, Any] = {"split": parts, "train_patients": None}
        if self.options.unit == "slice":
            path = self.folder / "rounds" / f"{number}-slices.csv"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_labelled_slices(path, sorted((each.cases[0], each.z or 0) for each in labelled))
            data["labelled_slices"] = str(path)
        return data

    def _patients(self, cases: Sequence[str]) -> list[str]:
        return list(dict.fromkeys(self.store.cases[name].patient for name in cases))


def _identity(cfg: DictConfig) -> str:
    """Return a hash of every option that affects the loop, but its number of rounds."""
    kept = DictConfig({name: value for name, value in cfg.items() if name not in _GROWING})
    return identity(kept)
