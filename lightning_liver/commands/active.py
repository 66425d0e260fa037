"""liver-active: rounds of training and asking for labels, simulated with the masks of a data set."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import Timeout
from jaxtyping import UInt8
from omegaconf import DictConfig, OmegaConf, open_dict
from pydantic import ValidationError

from lightning_liver.active.curve import RoundScore, curve_figure, curve_rows, curve_table
from lightning_liver.active.loop_state import Correction, LoopState, read_state
from lightning_liver.active.network_pool import NetworkPool
from lightning_liver.active.options import LoopOptions
from lightning_liver.active.pool import Candidate, candidates_of
from lightning_liver.active.strategies import Query
from lightning_liver.build import build, prepared
from lightning_liver.commands.train import train
from lightning_liver.config import budget_of, compose, identity
from lightning_liver.data.labelled_slices import write_labelled_slices
from lightning_liver.data.splits import Split
from lightning_liver.data.store import Store
from lightning_liver.errors import LiverError, Unfinished, explain
from lightning_liver.files import held_lock
from lightning_liver.imageio.nifti import read_volume
from lightning_liver.inference.network import TrainedNetwork
from lightning_liver.inference.predict_volume import AUTOCAST, VolumeOptions, predict_volume
from lightning_liver.inference.tta import flips_for
from lightning_liver.inference.uncertainty import has_dropout
from lightning_liver.metrics.correction_effort import correction_effort
from lightning_liver.metrics.voxel_counts import count_voxels, dice
from lightning_liver.report.drawing import write_png
from lightning_liver.runs.trained import decision_of, read_epochs, read_run, trusted
from lightning_liver.tables import write_csv
from lightning_liver.training.assembly import new_split
from lightning_liver.training.run_state import RunState

log = logging.getLogger(__name__)

Labels = UInt8[np.ndarray, "z y x"]

_OWN = ("workspace", "strategy", "rounds", "initial", "per_round", "unit", "every", "start")  # not of a training run
_GROWING = ("rounds", "workspace")  # a loop may be continued with other ones


def active(cfg: DictConfig, folder: Path) -> list[RoundScore]:
    """Train, ask for labels of a part of the pool, and train again; the masks of the data set answer.

    Each round is a run folder in `rounds/`. What was asked for stands in active.json, its effort in effort.csv, the
    learning curve in curve.csv and curve.png. The same command goes on with a loop that was interrupted.

    Raises:
        LiverError: an invalid option, no labelled scans, fewer candidates than are asked for, a workspace of another
            loop.
    """
    options = _options(cfg)
    strategy = build(cfg.strategy)
    _check_members(cfg, strategy.keywords)
    store = prepared(cfg.data)
    if not store.labelled():
        raise LiverError(
            f"data.root={cfg.data.get('root')}: expected scans with masks, which answer in place of an expert; give "
            "a data set with masks"
        )
    loop = Loop(cfg, folder, options, strategy, store, new_split(cfg.data, store))
    loop.check_size()
    with _locked(folder):
        return loop.run()


class Loop:
    """The rounds of a simulated loop in a workspace.

    Args:
        strategy: of active.strategies, with its options.
        split: its training cases are the pool; the others validate and test every round.
    """

    def __init__(
        self, cfg: DictConfig, folder: Path, options: LoopOptions, strategy: Any, store: Store, split: Split
    ) -> None:
        self.cfg, self.folder, self.options, self.strategy = cfg, folder, options, strategy
        self.store, self.split = store, split
        records = [store.cases[name] for name in split.train]
        self.candidates = candidates_of(records, options.unit, every=options.every)

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
        state = read_state(self.folder, _identity(self.cfg))
        points: list[RoundScore] = []
        for number, count in enumerate(self.options.asked, start=1):
            if len(state.answers) < number:
                state = state.with_answers(self._answers(state, number, count))
                state.write(self.folder)
            log.info(self._described(state, number))
            metrics, *_ = [train(cfg, run) for run, cfg in self._runs(state, number)]
            points.append(RoundScore.of(number, state.answers[:number], metrics))
            self._write_tables(state, points)
        log.info(f"{curve_table(points)}\n\n{self.folder / 'curve.png'}")
        return points

    def _described(self, state: LoopState, number: int) -> str:
        names = ", ".join(candidate.name for candidate in state.labelled(number))
        return f"Round {number} of {self.options.rounds} trains on {names}"

    def _answers(self, state: LoopState, number: int, count: int) -> list[Correction]:
        """Return the labelled candidates that are added before a round, and their effort."""
        labelled = state.labelled(number - 1)
        known = {(candidate.patient, candidate.cases, candidate.z) for candidate in labelled}
        left = [each for each in self.candidates if (each.patient, each.cases, each.z) not in known]
        rng = np.random.default_rng([self.options.seed, number])
        if number == 1:
            chosen = rng.permutation(len(left))[:count]
            return self._corrected([(left[i], None) for i in chosen], None)
        networks, options = self._members(number - 1)
        readers = {name: partial(read_volume, Path(self.store.cases[name].volume)) for name in self.split.train}
        pool = NetworkPool(left, labelled, readers, networks, options)
        torch.manual_seed(int(rng.integers(2**63)))  # of the passes with dropout
        choice: Query = self.strategy(pool, count, rng)
        asked = [(left[i], None if choice.scores is None else float(choice.scores[i])) for i in choice.chosen]

        def propose(case: str) -> Labels:
            return predict_volume(readers[case](), networks[:1], options).labels

        return self._corrected(asked, propose)

    def _corrected(
        self, asked: Sequence[tuple[Candidate, float | None]], propose: Callable[[str], Labels] | None
    ) -> list[Correction]:
        """Return the answer of each case of the candidates; without a network their proposals are empty.

        A case of which several slices are asked for is read and proposed once.
        """
        places = [(name, candidate, score) for candidate, score in asked for name in candidate.cases]
        answers: dict[tuple[str, int | None], Correction] = {}
        for case in dict.fromkeys(name for name, _, _ in places):
            record = self.store.cases[case]
            truth = np.stack([self.store.read(case, "native_labels", z) for z in range(record.native_shape[0])])
            proposal = np.zeros_like(truth) if propose is None else propose(case)
            for _, (patient, _, z), score in (each for each in places if each[0] == case):
                pair = (truth, proposal) if z is None else (truth[z, None], proposal[z, None])
                effort = correction_effort(*pair, record.native_spacing_mm)
                dices = (None, None) if propose is None else _dices(*pair)
                answers[case, z] = Correction(patient, case, z, score, len(pair[0]), *effort, *dices)
        return [answers[name, candidate.z] for name, candidate, _ in places]

    def _runs(self, state: LoopState, number: int) -> list[tuple[Path, DictConfig]]:
        """Return the run folders of a round and their configs: of the round itself, then of further members."""
        members = self.strategy.keywords.get("members", 1) if self.strategy.keywords.get("of") == "runs" else 1
        seeds = [self.options.seed + 1000 * member for member in range(members)]
        asks = number < self.options.rounds  # the last round asks for nothing
        return [
            (self._run(number, m), self._config(state, number, seed)) for m, seed in enumerate(seeds) if asks or not m
        ]

    def _run(self, number: int, member: int = 0) -> Path:
        return self.folder / "rounds" / (f"{number}" if member == 0 else f"{number}-member-{member + 1}")

    def _config(self, state: LoopState, number: int, seed: int) -> DictConfig:
        """Return the config of the training of a round."""
        labelled = state.labelled(number)
        parts = {"train": list(dict.fromkeys(each.patient for each in labelled))}
        parts |= {part: self._patients(getattr(self.split, part)) for part in ("val", "test")}
        data: dict[str, Any] = {"split": parts, "train_patients": None}
        if self.options.unit == "slice":
            path = self.folder / "rounds" / f"{number}-slices.csv"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_labelled_slices(path, sorted((each.cases[0], each.z or 0) for each in labelled))
            data["labelled_slices"] = str(path)
        own = {name: value for name, value in self.cfg.items() if name not in _OWN}
        usual = {name: value for name, value in compose("train", []).items() if name not in own}
        cfg = DictConfig(OmegaConf.merge(own, usual, {"data": {"split": None}, "seed": seed}))
        with open_dict(cfg):
            cfg.finetune = self._start(number)
            if self.strategy.keywords.get("of") == "checkpoints":
                cfg.callbacks.last_epochs = compose("train", ["callbacks=last_epochs"]).callbacks.last_epochs
                cfg.callbacks.last_epochs.count = self.strategy.keywords["members"]
        return DictConfig(OmegaConf.merge(cfg, {"data": data}))

    def _start(self, number: int) -> DictConfig:
        warm = self.options.start == "last_round" and number > 1
        made = compose("train", ["finetune=full" if warm else "finetune=scratch"]).finetune
        if warm:
            made.source = str(self._run(number - 1))
        return made

    def _patients(self, cases: Sequence[str]) -> list[str]:
        return list(dict.fromkeys(self.store.cases[name].patient for name in cases))

    def _members(self, number: int) -> tuple[list[TrainedNetwork], VolumeOptions]:
        """Return the networks of a round, and how they label: with the round's own precision, threads and decision."""
        run = self._run(number)
        machine = RunState(run).machine
        if machine["threads"] is not None:
            torch.set_num_threads(machine["threads"])
        read = partial(read_run, trust=trusted(self.cfg))  # a network of the user's own
        trained = read(run)
        thresholds, post_process = decision_of(self.cfg.inference, trained, run)
        device = torch.device(machine["accelerator"])
        options = VolumeOptions.masks_alone(
            thresholds=thresholds,
            post_process=post_process,
            batch_size=self.cfg.data.eval_batch_size,
            flips=flips_for(self.cfg.inference.flips),
            autocast=AUTOCAST.get(machine["precision"]),
            device=device,
        )
        keywords = self.strategy.keywords
        networks = [trained]
        if keywords.get("of") == "runs":
            networks += [read(self._run(number, m)) for m in range(1, keywords["members"])]
        elif keywords.get("of") == "checkpoints":
            networks = read_epochs(run, trained, keywords["members"])
        for network in networks:
            network.network.to(device)
        return networks, options

    def _write_tables(self, state: LoopState, points: Sequence[RoundScore]) -> None:
        rows = [
            {"round": number, **asdict(answer)}
            for number, answers in enumerate(state.answers, start=1)
            for answer in answers
        ]
        write_csv(self.folder / "effort.csv", rows)
        write_csv(self.folder / "curve.csv", curve_rows(points))
        write_png(curve_figure(points), self.folder / "curve.png")


def _options(cfg: DictConfig) -> LoopOptions:
    typed: Any = OmegaConf.to_container(cfg)
    try:
        return LoopOptions(**{name: typed[name] for name in LoopOptions.__dataclass_fields__})
    except ValidationError as error:
        raise LiverError(explain(error)) from error


def _check_members(cfg: DictConfig, strategy: Mapping[str, Any]) -> None:
    """Refuse a strategy whose networks would agree, or would not be there.

    Raises:
        LiverError: passes with a network without dropout; more members than epochs.
    """
    if strategy.get("passes") and not has_dropout(build(cfg.model)):
        raise LiverError(
            f"strategy={_name(cfg)}: expected a network with dropout for its {strategy['passes']} passes; set "
            "model.dropout=0.3, or take another strategy"
        )
    epochs = cfg.trainer.max_epochs if budget_of(cfg.trainer) == "max_epochs" else None
    if strategy.get("of") == "checkpoints" and epochs is not None and epochs < strategy["members"]:
        raise LiverError(
            f"strategy.members={strategy['members']}: expected at most trainer.max_epochs={epochs}, since each is the "
            "checkpoint of an epoch; train longer, or take strategy.of=runs"
        )


def _name(cfg: DictConfig) -> str:
    return str(cfg.strategy._target_).rpartition(".")[2]


def _identity(cfg: DictConfig) -> str:
    """Return a hash of every option that affects the loop, but its number of rounds."""
    kept = DictConfig({name: value for name, value in cfg.items() if name not in _GROWING})
    return identity(kept)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold a workspace.

    Raises:
        Unfinished: another process works in it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with held_lock(folder / ".active.lock", timeout_s=0):
            yield
    except Timeout:
        raise Unfinished(f"{folder}: another process works in this folder; give another workspace=") from None


def _dices(truth: Labels, prediction: Labels) -> list[float | None]:
    """Return the Dice of liver and of tumour; None where the structure is in neither."""
    pairs = [(truth >= label, prediction >= label) for label in (1, 2)]
    return [dice(count_voxels(*pair)) if pair[0].any() or pair[1].any() else None for pair in pairs]
