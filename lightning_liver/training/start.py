"""How a run starts from other weights: copied before anything is prepared, then terms, groups and phases."""

import logging
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from omegaconf import DictConfig
from pydantic import ValidationError
from pytorch_lightning.callbacks import Callback
from torch import Tensor, nn

from lightning_liver.build import build
from lightning_liver.config import cache_of
from lightning_liver.data.datamodule import SliceDataModule, SliceOptions
from lightning_liver.data.sources import unlabelled
from lightning_liver.data.store import Store
from lightning_liver.errors import LiverError, explain
from lightning_liver.files import replacing, write_whole
from lightning_liver.finetune.freezing import Freezing, by_unfreeze_epoch, hold
from lightning_liver.finetune.parts import parts, select
from lightning_liver.finetune.rates import group, groups
from lightning_liver.finetune.self_taught import MaskedReconstruction
from lightning_liver.finetune.source import read_weights
from lightning_liver.finetune.strategy import Strategy
from lightning_liver.finetune.terms import Reconstruction, Start
from lightning_liver.finetune.transfer import Transfer, plan
from lightning_liver.training.callbacks import EpochSeeds
from lightning_liver.training.forgetting import source_run
from lightning_liver.training.settings import TrainerOptions
from lightning_liver.training.task import Groups, Term
from lightning_liver.training.trainer import pretraining_trainer

log = logging.getLogger(__name__)


class Beginning(NamedTuple):
    """What fine-tuning adds to a task and its trainer; of training from scratch it is empty."""

    terms: dict[str, Term]
    groups: Groups | None
    callbacks: list[Callback]


SCRATCH = Beginning({}, None, [])


def chosen_strategy(node: DictConfig | None) -> Strategy | None:
    """The strategy of a config, None for scratch."""
    strategy: Strategy | None = build(node) if node and "_target_" in node else None
    return strategy


def copy_source(strategy: Strategy, network: nn.Module, folder: Path) -> frozenset[str]:
    """Copy what fits into the network; say what, also in transfer.txt; the names of the parameters that were copied.

    Raises:
        LiverError: the source cannot be read, or nothing in it fits.
    """
    if strategy.source is None or strategy.pretrain is not None:
        return frozenset()
    names = list(parts(network))
    wanted = None if strategy.copied is None else select(names, strategy.copied, option="finetune.copied")
    transfer = plan(network, read_weights(strategy.source), parts=wanted)
    _refuse_ignorant_teacher(strategy, transfer)
    transfer.apply(network)
    table = f"From {strategy.source}:\n{transfer.table()}"
    write_whole(folder / "transfer.txt", table + "\n")
    log.info(table)
    return transfer.copied


def _refuse_ignorant_teacher(strategy: Strategy, transfer: Transfer) -> None:
    """What the source did not say cannot be kept."""
    taught = sorted(name for name, make in strategy.terms.items() if getattr(_function(make), "needs_teacher", False))
    whole = {fate.name for fate in transfer.fates if fate.moves and transfer.values[fate.name].shape == fate.shape}
    random = [fate.name for fate in transfer.fates if fate.learnable and fate.name not in whole]
    if taught and random:
        raise LiverError(
            f"finetune.terms.{taught[0]} keeps what the source says; these weights are not, or not wholly, its own: "
            f"{', '.join(random[:5])}\n{transfer.table()}"
        )


def needs_target(strategy: Strategy | None) -> bool:
    """Whether the strategy learns from slices of target_root.

    Raises:
        LiverError: it does, and there is none.
    """
    if strategy is None:
        return False
    needed = sorted(name for name, make in strategy.terms.items() if getattr(_function(make), "needs_target", False))
    if needed and strategy.target_root is None:
        raise LiverError(f"finetune.target_root is needed by {', '.join(needed)}: a folder of scans without masks")
    return strategy.target_root is not None and bool(needed or strategy.pretrain is not None)


def target_store(strategy: Strategy, data: DictConfig) -> Store:
    """The scans of target_root, prepared as those of the run are."""
    assert strategy.target_root is not None
    root = Path(strategy.target_root).expanduser()
    store: Store = build(data.prepare, unlabelled(root), store=f"{cache_of(str(root))}-unlabelled")
    return store


def begin(
    strategy: Strategy,
    network: nn.Module,
    copied: frozenset[str],
    data: SliceDataModule,
    options: TrainerOptions,
    folder: Path,
) -> Beginning:
    """Pre-train where the strategy says so, then make terms, groups and phases."""
    example = torch.zeros(1, data.options.channels, *data.options.size_yx)
    if strategy.pretrain is not None:
        pretrain(strategy, network, example, data, options, folder / "pretraining")
        copied = frozenset(name for name, _ in network.named_parameters())
    terms = make_terms(strategy, Start(network, copied, example))
    names = list(parts(network))
    thaw, scales = strategy.thaw(names), strategy.scales(names)
    hold(network, {name for name, first in thaw.items() if first > 0})
    return Beginning(
        terms,
        partial(groups, scale_of=scales, order=by_unfreeze_epoch(thaw)),
        [Freezing(thaw, lambda part, name: group(part, name, scales[name]))],
    )


def make_terms(strategy: Strategy, start: Start) -> dict[str, Term]:
    """The extra terms of the loss by name.

    Raises:
        LiverError: an option of one is out of range, or names a part that is not there.
    """
    made: dict[str, Term] = {}
    for name, make in strategy.terms.items():
        try:
            made[name] = make(start=start)
        except ValidationError as error:
            raise LiverError(explain(error, f"finetune.terms.{name}")) from error
        except TypeError as error:
            raise LiverError(f"finetune.terms.{name}: {error}; it makes a term of `start`") from error
    return made


def try_strategy(strategy: Strategy, network: nn.Module, slices: SliceOptions) -> None:
    """Make all that a strategy asks for once, of a copy of the network, before anything is prepared."""
    if not needs_target(strategy) and strategy.target_root is not None:
        log.info("finetune.target_root is not used by this strategy.")
    if strategy.source_data is not None and (strategy.source is None or strategy.pretrain is not None):
        log.info("finetune.source_data is not used: this strategy has no source that could be forgotten.")
    elif strategy.source_data is not None:
        source_run(strategy)
    names = list(parts(network))
    if strategy.copied is not None:
        select(names, strategy.copied, option="finetune.copied")
    strategy.thaw(names)
    example = torch.zeros(1, slices.channels, *slices.size_yx)
    if strategy.pretrain is not None:
        tried = MaskedReconstruction(deepcopy(network), strategy.pretrain, example)
        _refuse_coarse(strategy.pretrain.part, tried.sees(example), example)
    trial = deepcopy(network)
    for name, term in make_terms(strategy, Start(trial, frozenset(), example)).items():
        if isinstance(term, Reconstruction):
            trial(example)
            _refuse_coarse(f"finetune.terms.{name}.part", term.features(), example)


def _refuse_coarse(option: str, features: Tensor, example: Tensor) -> None:
    if features.shape[-2:] != example.shape[-2:]:
        raise LiverError(
            f"{option} gives {tuple(features.shape[-2:])} pixels of an image of {tuple(example.shape[-2:])}: a part at "
            "full resolution is needed, such as decoder.*"
        )


def pretrain(
    strategy: Strategy,
    network: nn.Module,
    example: Tensor,
    data: SliceDataModule,
    options: TrainerOptions,
    folder: Path,
) -> None:
    """Masked reconstruction into the network; what it made is in a folder, and an interrupted one goes on."""
    done, last = folder / "network.pt", folder / "last.ckpt"
    if done.exists():
        network.load_state_dict(torch.load(done, weights_only=True))
        return
    module = MaskedReconstruction(network, strategy.pretrain, example)
    trainer = pretraining_trainer(options, folder, epochs=strategy.pretrain.epochs, callbacks=[EpochSeeds(data.seed)])
    begun = int(torch.load(last, weights_only=True, map_location="cpu")["epoch"]) + 1 if last.exists() else 0
    log.info(f"Pre-training on slices without masks: {strategy.pretrain.epochs} epochs, {begun} of them done")
    trainer.fit(module, data.unlabelled_dataloader(begun), ckpt_path=last if last.exists() else None, weights_only=True)
    with replacing(done) as partial_file:
        torch.save({name: tensor.cpu() for name, tensor in network.state_dict().items()}, partial_file)


def _function(make: Callable[..., Any]) -> Any:
    return make.func if isinstance(make, partial) else make
