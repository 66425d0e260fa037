"""Trainings of a loop of active learning, each an ordinary run folder, and the networks that they give."""

import logging
import shutil
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf, open_dict

from lightning_liver.active.network_pool import NetworkPool, Reader
from lightning_liver.active.options import LoopOptions
from lightning_liver.active.pool import Candidate
from lightning_liver.active.strategies import SHOWN, Query
from lightning_liver.active.workspace_text import shown
from lightning_liver.build import build
from lightning_liver.commands.train import train
from lightning_liver.config import budget_of, compose
from lightning_liver.errors import LiverError
from lightning_liver.inference.network import TrainedNetwork
from lightning_liver.inference.predict_volume import AUTOCAST, Bytes, VolumeOptions, predict_volume
from lightning_liver.inference.tta import flips_for
from lightning_liver.inference.uncertainty import Kind, has_dropout
from lightning_liver.run_folder import RunFolder
from lightning_liver.runs.status import json_of
from lightning_liver.runs.trained import decision_of, read_epochs, read_run, trusted
from lightning_liver.training.run_state import RunState
from lightning_liver.training.settings import available_accelerator
from lightning_liver.volume import Volume

log = logging.getLogger(__name__)

OF_THE_LOOP = (  # not of a training run
    *("action", "workspace", "strategy", "rounds", "initial", "per_round", "unit", "every", "start"),
    *("pool", "run", "patients", "val_patients", "test_patients", "corrections", "accept_unchanged"),
)


class Networks(NamedTuple):
    """Networks of a round and how they label: with the round's own precision, threads and decision.

    Args:
        members: of an ensemble, or one; the first one proposes masks.
        kind, passes: of the map of uncertainty that shows why a case is asked for.
    """

    members: list[TrainedNetwork]
    options: VolumeOptions
    kind: Kind
    passes: int

    def propose(self, volume: Volume) -> tuple[Bytes, Bytes]:
        """Return the labels of a scan by the first network, and a map of uncertainty of all, a byte for 0 to SCALE."""
        mapped = replace(self.options, uncertainty=self.kind, passes=self.passes)
        made = predict_volume(volume, self.members, mapped)
        assert made.uncertainty is not None
        alone = made if len(self.members) == 1 else predict_volume(volume, self.members[:1], self.options)
        return alone.labels, made.uncertainty

    def choose(
        self,
        strategy: Any,
        left: list[Candidate],
        labelled: list[Candidate],
        readers: Mapping[str, Reader],
        count: int,
        rng: np.random.Generator,
    ) -> list[tuple[Candidate, float | None]]:
        """Return the candidates that a strategy asks for, the most wanted first, each with its score."""
        pool = NetworkPool(left, labelled, readers, self.members, self.options)
        torch.manual_seed(int(rng.integers(2**63)))  # of the passes with dropout
        choice: Query = strategy(pool, count, rng)
        return [(left[i], None if choice.scores is None else float(choice.scores[i])) for i in choice.chosen]


class Rounds:
    """Trainings of a loop in the run folders `rounds/N`.

    Args:
        cfg: of liver-active; what is not of the loop itself is of every training.
        strategy: of active.strategies, with its options.
        first: run folder of a network that is there before the first training; None has none.
    """

    def __init__(
        self, cfg: DictConfig, folder: Path, options: LoopOptions, strategy: Any, first: Path | None = None
    ) -> None:
        self.cfg, self.folder, self.options, self.strategy, self.first = cfg, folder, options, strategy, first

    @property
    def strategy_name(self) -> str:
        return strategy_name(self.cfg)

    @property
    def window_hu(self) -> tuple[float, float]:
        low, high = self.cfg.data.window_hu
        return low, high

    def run(self, number: int, member: int = 0) -> Path:
        return self.folder / "rounds" / (f"{number}" if member == 0 else f"{number}-member-{member + 1}")

    def remove(self, number: int) -> None:
        """Remove the runs of a round whose labels have changed."""
        for run in (self.run(number), *self.run(number).parent.glob(f"{number}-member-*")):
            if run.is_dir():
                log.info(f"{shown(run)} begins anew")
                shutil.rmtree(run)

    def train(self, number: int, data: Mapping[str, Any], *, asks: bool) -> Mapping[str, float | None]:
        """Train a round and return its metrics; a round that is complete is not trained again.

        Args:
            data: values of the data config.
            asks: a choice follows, so further members are trained where the strategy needs them.
        """
        members = self.strategy.keywords.get("members", 1) if self._is_of("runs") and asks else 1
        seeds = [self.options.seed + 1000 * member for member in range(members)]
        metrics, *_ = [
            train(self._config(number, seed, data), self.run(number, member)) for member, seed in enumerate(seeds)
        ]
        return metrics

    def networks(self, number: int) -> Networks:
        """Return the networks of a round; round 0 is the first network."""
        if number == 0:
            assert self.first is not None
            return self._first_network(self.first)
        run, keywords = self.run(number), self.strategy.keywords
        machine = RunState(run).machine
        if machine["threads"] is not None:
            torch.set_num_threads(machine["threads"])
        trained = read_run(run, trust=trusted(self.cfg))  # a network of the user's own
        members = [trained]
        if self._is_of("runs"):
            read = partial(read_run, trust=trusted(self.cfg))
            further = [self.run(number, member) for member in range(1, keywords["members"])]
            if absent := [folder for folder in further if not RunFolder(folder).metrics.is_file()]:
                raise LiverError(
                    f"strategy.of=runs: expected {shown(absent[0])}, a further run of round {number}, which trained "
                    "for another strategy; choose this time by another one, and give this one to the next training"
                )
            members += [read(folder) for folder in further]
        elif self._is_of("checkpoints"):
            members = read_epochs(run, trained, keywords["members"])
        options = self._labelling(run, trained, machine["accelerator"], machine["precision"])
        return Networks(members, options, self.kind(number), keywords.get("passes", 0))

    def kind(self, number: int) -> Kind:
        """Return the kind of uncertainty that shows why a case is asked for by the network of a round."""
        return SHOWN.get(self.strategy.func, "entropy") if number else "entropy"

    def _first_network(self, run: Path) -> Networks:
        trained = read_run(run, trust=trusted(self.cfg))
        precision = str((json_of(RunFolder(run).chosen) or {}).get("precision"))
        return Networks([trained], self._labelling(run, trained, available_accelerator(), precision), self.kind(0), 0)

    def _labelling(self, run: Path, trained: TrainedNetwork, accelerator: str, precision: str) -> VolumeOptions:
        thresholds, post_process = decision_of(self.cfg.inference, trained, run)
        return VolumeOptions.masks_alone(
            thresholds=thresholds,
            post_process=post_process,
            batch_size=self.cfg.data.eval_batch_size,
            flips=flips_for(self.cfg.inference.flips),
            autocast=AUTOCAST.get(precision),
            device=torch.device(accelerator),
        )

    def _is_of(self, members: str) -> bool:
        return bool(self.strategy.keywords.get("of") == members)

    def _config(self, number: int, seed: int, data: Mapping[str, Any]) -> DictConfig:
        """Return the config of the training of a round."""
        own = {name: value for name, value in self.cfg.items() if name not in OF_THE_LOOP}
        usual = {name: value for name, value in compose("train", []).items() if name not in own}
        cfg = DictConfig(OmegaConf.merge(own, usual, {"data": {"split": None}, "seed": seed}))
        with open_dict(cfg):
            cfg.finetune = self._start(number)
            if self._is_of("checkpoints"):
                cfg.callbacks.last_epochs = compose("train", ["callbacks=last_epochs"]).callbacks.last_epochs
                cfg.callbacks.last_epochs.count = self.strategy.keywords["members"]
        return DictConfig(OmegaConf.merge(cfg, {"data": dict(data)}))

    def _start(self, number: int) -> DictConfig:
        source = self.run(number - 1) if number > 1 else self.first
        warm = self.options.start == "last_round" and source is not None
        made = compose("train", ["finetune=full" if warm else "finetune=scratch"]).finetune
        if warm:
            made.source = str(source)
        return made


def check_members(cfg: DictConfig, strategy: Mapping[str, Any]) -> None:
    """Refuse a strategy whose networks would agree, or would not be there.

    Raises:
        LiverError: passes with a network without dropout; more members than epochs.
    """
    if strategy.get("passes") and not has_dropout(build(cfg.model)):
        raise LiverError(
            f"strategy={strategy_name(cfg)}: expected a network with dropout for its {strategy['passes']} passes; set "
            "model.dropout=0.3, or take another strategy"
        )
    epochs = cfg.trainer.max_epochs if budget_of(cfg.trainer) == "max_epochs" else None
    if strategy.get("of") == "checkpoints" and epochs is not None and epochs < strategy["members"]:
        raise LiverError(
            f"strategy.members={strategy['members']}: expected at most trainer.max_epochs={epochs}, since each is the "
            "checkpoint of an epoch; train longer, or take strategy.of=runs"
        )


def strategy_name(cfg: DictConfig) -> str:
    return str(cfg.strategy._target_).rpartition(".")[2]
