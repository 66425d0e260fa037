"""Trained networks read from run folders, with their thresholds, post-processing and test cases."""

import logging
import math
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from torch import Tensor, nn

from lightning_liver.build import build_saved
from lightning_liver.config import read_config
from lightning_liver.data.splits import Split
from lightning_liver.errors import LiverError
from lightning_liver.finetune.statistics import Statistics, use_statistics
from lightning_liver.inference.decision import post_process_of, read_decision, thresholds_of
from lightning_liver.inference.network import TrainedNetwork
from lightning_liver.inference.postprocess import PostProcess
from lightning_liver.inference.thresholds import HALF, Thresholds
from lightning_liver.readers import parsing
from lightning_liver.run_folder import NAMES, RunFolder
from lightning_liver.runs.checkpoints import load_weights, normalization_of, read_checkpoint, read_tensors
from lightning_liver.runs.hub import is_hub, read_hub
from lightning_liver.types.options import Positive, check

Weights = Literal["best", "pretrained"]
Domain = Literal["training", "target"]

STATISTICS = "batch_norm_statistics"  # key of the statistics of both domains in a checkpoint

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DomainStatistics:
    """Batch-norm statistics of both domains of a run that learnt from finetune.target_root.

    Args:
        training: of the labelled slices; of finetune=adabn, those of the source.
        target: of slices of the target.
        used: the ones that the weights of the checkpoint have.
        folder: finetune.target_root.
        slices: number of slices of the target that were drawn for them.
        cases: validation and test cases that lie in the target's folder.
    """

    training: Statistics
    target: Statistics
    used: Domain
    folder: str
    slices: int
    cases: list[str]

    @staticmethod
    def of(checkpoint: Mapping[str, Any]) -> "DomainStatistics | None":
        """Return the statistics in a checkpoint; None if its run had no target."""
        entry = checkpoint.get(STATISTICS)
        return None if entry is None else DomainStatistics(**entry)

    def as_entry(self) -> dict[str, Any]:
        """Return plain containers for a checkpoint."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def choose(self, asked: Domain | None, *, elsewhere: bool) -> Domain:
        """Return the asked ones, else the target's for scans elsewhere, and for the run's own those of its weights."""
        return asked or ("target" if elsewhere else self.used)

    def source_of(self, domain: Domain) -> str:
        """Return the slices that the statistics come from, in words."""
        if domain == "target":
            return f"{self.slices} slices of {self.folder}"
        return "the source's slices" if self.used == "target" else "the labelled slices"


def read_run(
    run: Path,
    *,
    weights: Weights = "best",
    option: str = "run",
    statistics: Domain | None = None,
    elsewhere: bool | Path = False,
    trust: Sequence[str] = (),
) -> TrainedNetwork:
    """Read the network of a run folder, on the processor; of its files only tensors and plain values are loaded.

    For a run with a target it logs which batch-norm statistics are used.

    Args:
        weights: the best ones of its training, or those before it, which self_taught made without a mask.
        option: by which the folder was given, for messages.
        statistics: the batch-norm statistics to use; None takes the target's for scans elsewhere.
        elsewhere: True if scans other than the run's own are predicted; or their folder, which may be the run's.
        trust: modules of other code from which the run may be built, see config.read_config.

    Raises:
        LiverError: it is no run folder, has no such weights, or they do not fit its model; statistics=target of a run
            without a target.
    """
    files = RunFolder(run)
    if not files.config.is_file() and is_hub(run):
        check("statistics", statistics, None)  # chosen when it was exported
        return read_hub(run)
    if not files.config.is_file():
        raise LiverError(f"{option}={run}: not a run folder, it has no {NAMES.config}")
    config = read_run_config(run, trust)
    with parsing(files.config, also=(OmegaConfBaseException,)):
        network: nn.Module = build_saved(config.model, files.config)
        multiple = math.lcm(config.inference.multiple, getattr(network, "multiple", 1))
        spacing_mm = check("data.spacing_mm", config.data.get("spacing_mm"), Positive | None)
    checkpoint = read_checkpoint(files.best)
    if weights == "best":
        load_weights(network, network_weights(checkpoint["state_dict"]), files.best)
    else:
        load_weights(network, read_tensors(files.pretrained), files.pretrained)
    chosen = None
    if weights == "best":
        if isinstance(elsewhere, Path):
            elsewhere = not elsewhere.resolve().is_relative_to(Path(str(config.data.get("root"))).resolve())
        with parsing(files.best, also=(RuntimeError,)):
            known = DomainStatistics.of(checkpoint)
            chosen = _choose_statistics(network, known, run, statistics, elsewhere=elsewhere)
    return TrainedNetwork(
        network.eval(), normalization_of(checkpoint, files.best), spacing_mm, multiple, config, chosen
    )


def read_epochs(run: Path, trained: TrainedNetwork, count: int) -> list[TrainedNetwork]:
    """Return networks with the weights after the last epochs of a run, which callbacks=last_epochs keeps.

    Args:
        trained: of the run.

    Raises:
        LiverError: fewer are there, or one is damaged.
    """
    files = sorted(RunFolder(run).epochs.glob("epoch=*.ckpt"), key=lambda path: int(path.stem.partition("=")[2]))
    if len(files) < count:
        raise LiverError(
            f"{RunFolder(run).epochs}: expected the weights of {count} epochs, found {len(files)}; train with "
            f"callbacks=last_epochs callbacks.last_epochs.count={count}, for as many epochs"
        )
    members = []
    for path in files[-count:]:
        member = replace(trained, network=deepcopy(trained.network))
        load_weights(member.network, network_weights(read_checkpoint(path)["state_dict"]), path)
        members.append(member)
    return members


def read_run_config(run: Path, trust: Sequence[str]) -> DictConfig:
    """Read the config of a run folder, to build from it; see config.read_config.

    Raises:
        LiverError: it is missing, damaged, or calls a resolver that is not ours.
    """
    return read_config(RunFolder(run).config, trust)


def trusted(cfg: DictConfig) -> tuple[str, ...]:
    """Return the modules of `trust`, from which a run folder with other code may be built.

    Raises:
        LiverError: it is no list of names.
    """
    value = cfg.get("trust") or []
    return tuple(check("trust", [value] if isinstance(value, str) else list(value), list[str]))


def _choose_statistics(
    network: nn.Module, known: DomainStatistics | None, run: Path, asked: Domain | None, *, elsewhere: bool
) -> Domain | None:
    check("statistics", asked, Domain | None)
    if known is None and asked == "target":
        raise LiverError(
            "statistics=target: expected a run with batch normalisation that knows a target, as of finetune=adabn, "
            f"domain_adversarial or pseudo_label; {run} is none, leave it out"
        )
    if known is None:
        return None
    chosen = known.choose(asked, elsewhere=elsewhere)
    use_statistics(network, known.target if chosen == "target" else known.training)
    other: Domain = "training" if chosen == "target" else "target"
    log.info(
        f"{run}: batch-norm statistics of {chosen} ({known.source_of(chosen)}); statistics={other} uses those of "
        f"{known.source_of(other)}"
    )
    return chosen


def network_weights(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of the network among those of a task."""
    return {name.removeprefix("network."): tensor for name, tensor in state.items() if str(name).startswith("network.")}


def decision_of(typed: DictConfig, run: TrainedNetwork, folder: Path) -> tuple[Thresholds, PostProcess]:
    """Return thresholds and post-processing of `inference`: the typed ones, else the run's.

    Args:
        folder: of the run, whose decision.json has the tuned thresholds.

    Raises:
        LiverError: an option is unknown or out of range, or thresholds are asked for that were never tuned.
    """
    of_run: Any = OmegaConf.to_container(run.config.inference, resolve=True)
    asked: Any = OmegaConf.to_container(typed, resolve=True)
    thresholds = asked.get("thresholds") if asked.get("thresholds") is not None else of_run.get("thresholds")
    return thresholds_of(thresholds, folder), post_process_of(asked.get("postprocess"), of_run.get("postprocess"))


class TestedDecision(NamedTuple):
    """How a run's test cases were labelled; the figures of its metrics.json hold for that."""

    thresholds: Thresholds
    post_process: PostProcess
    flips: bool


def tested_decision(folder: Path, run: TrainedNetwork) -> TestedDecision:
    """Return how the test cases of a run were labelled; thresholds are one half without a decision.json or a config's.

    Raises:
        LiverError: decision.json is damaged, or an option of the config is out of range.
    """
    of_run: Any = OmegaConf.to_container(run.config.inference, resolve=True)
    kept = read_decision(folder)
    if kept is not None:
        thresholds = (kept["thresholds"]["liver"], kept["thresholds"]["tumour"])
    else:
        given = of_run.get("thresholds")
        thresholds = HALF if given == "tuned" else thresholds_of(given, None)
    return TestedDecision(thresholds, post_process_of(None, of_run.get("postprocess")), bool(of_run.get("flips")))


def tested_cases(run: Path) -> tuple[str, ...]:
    """Return the cases that a run was tested on; empty if its folder has no split."""
    path = RunFolder(run).split
    return Split.read(path).test if path.exists() else ()
