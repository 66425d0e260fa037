"""Start of a run from other weights: copied before anything is prepared, then terms, optimizer groups and phases."""

import logging
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

import torch
from omegaconf import DictConfig, OmegaConf
from pydantic import ValidationError
from pytorch_lightning.callbacks import Callback
from torch import Tensor, nn

from lightning_liver.build import build, prepared
from lightning_liver.config import cache_of
from lightning_liver.data.datamodule import SliceDataModule, SliceOptions
from lightning_liver.data.labelled_slices import read_labelled_slices
from lightning_liver.data.sampling import Companion, Pools
from lightning_liver.data.sources import unlabelled
from lightning_liver.data.splits import Split
from lightning_liver.data.store import Store
from lightning_liver.errors import LiverError, explain
from lightning_liver.files import replacing, write_whole
from lightning_liver.finetune.parts import parts, select
from lightning_liver.finetune.self_taught import MaskedReconstruction
from lightning_liver.finetune.source import read_weights
from lightning_liver.finetune.strategy import Groups, Scratch, Strategy
from lightning_liver.finetune.terms.base import Start, Term
from lightning_liver.finetune.transfer import Transfer, plan
from lightning_liver.run_folder import RunFolder
from lightning_liver.runs.checkpoints import load_weights, read_tensors, read_training
from lightning_liver.runs.trained import read_run_config
from lightning_liver.training.callbacks import EpochSeeds
from lightning_liver.training.domain_statistics import target_statistics
from lightning_liver.training.forgetting import source_run
from lightning_liver.training.settings import TrainerOptions
from lightning_liver.training.trainer import pretraining_trainer

log = logging.getLogger(__name__)


class Beginning(NamedTuple):
    """Additions of fine-tuning to a task and its trainer; empty when training from scratch."""

    terms: dict[str, Term]
    groups: Groups | None
    callbacks: Sequence[Callback]


def build_strategy(node: DictConfig | None) -> Strategy:
    """Build the strategy of a config.

    Raises:
        LiverError: it has no `_target_`, and is not the scratch of an earlier version either.
    """
    if not node or set(node) == {"source", "source_data", "target_root"}:
        return Scratch(source=None, source_data=None, target_root=None)
    if "_target_" not in node:
        raise LiverError(
            f"finetune={{{', '.join(map(str, node))}}}: expected a strategy with a _target_; begin its yaml with "
            "defaults: [base, _self_]"
        )
    strategy: Strategy = build(node)
    return strategy


def copy_source(strategy: Strategy, network: nn.Module, folder: Path) -> frozenset[str]:
    """Copy the source's weights that fit into the network, and write the table of them to the log and transfer.txt.

    Returns:
        Names of the parameters that were copied.

    Raises:
        LiverError: the source cannot be read, or nothing in it fits.
    """
    if strategy.copied_source is None:
        return frozenset()
    names = list(parts(network))
    wanted = None if strategy.copied is None else select(names, strategy.copied, option="finetune.copied")
    transfer = plan(network, read_weights(strategy.copied_source), parts=wanted)
    _refuse_random_teacher(strategy, transfer)
    transfer.apply(network)
    table = f"From {strategy.copied_source}:\n{transfer.table()}"
    write_whole(RunFolder(folder).transfer, table + "\n")
    log.info(table)
    return transfer.copied


def _refuse_random_teacher(strategy: Strategy, transfer: Transfer) -> None:
    """Refuse a distillation teacher with randomly initialised weights."""
    taught = [f"finetune.terms.{name}" for name in strategy.names_of_terms("needs_teacher")]
    taught += [] if strategy.trains else ["finetune=adabn"]
    whole = {one.name for one in transfer.matches if one.moves and transfer.values[one.name].shape == one.shape}
    random = [one.name for one in transfer.matches if one.learnable and one.name not in whole]
    if taught and random:
        raise LiverError(
            f"{taught[0]}: expected a source with all weights of the model; these are missing "
            f"or incomplete: {', '.join(random[:5])}. Give another finetune.source, or another model\n"
            f"{transfer.table()}"
        )


def needs_target(strategy: Strategy) -> bool:
    """Return True if the strategy learns from slices of target_root.

    Raises:
        LiverError: a term needs such slices, and finetune.target_root is null.
    """
    needed = learning_from_target(strategy)
    if needed and strategy.target_root is None:
        raise LiverError(
            f"finetune.target_root=null: expected a folder of scans without masks, which {', '.join(needed)} needs; "
            "give finetune.target_root=..."
        )
    return strategy.target_root is not None and bool(needed or strategy.pretrain is not None)


def learning_from_target(strategy: Strategy) -> list[str]:
    """Return what adapts the network to target_root: terms by name, or adabn. Pre-training does not count."""
    return strategy.names_of_terms("needs_target") + ([] if strategy.trains else ["adabn"])


def target_store(strategy: Strategy, data: DictConfig) -> Store | None:
    """Prepare the scans of target_root with the data options of the run; None if the strategy does not use them."""
    if not needs_target(strategy):
        return None
    root = str(strategy.target_root)
    store: Store = build(data.prepare, unlabelled(root), store=f"{cache_of(root)}-unlabelled")
    return store


def source_slices(strategy: Strategy, cfg: DictConfig, options: SliceOptions, trust: Sequence[str]) -> Companion | None:
    """Return the labelled training slices of finetune.source_data, in the run's own spacing; None if no term uses them.

    They are drawn by data.sampling.
    """
    if not strategy.names_of_terms("needs_source_data"):
        return None
    files = RunFolder(source_run(str(strategy.source_data)))
    data = DictConfig(OmegaConf.merge(read_run_config(files.path, trust).data, {"spacing_mm": cfg.spacing_mm}))
    store = prepared(data)
    records = [store.cases[name] for name in Split.read(files.split).train]
    path = data.get("labelled_slices")
    pools = Pools.of(records, read_labelled_slices(Path(path), records) if path else None)
    return Companion(store, pools, options.sampling)


def begin(
    strategy: Strategy,
    network: nn.Module,
    copied: frozenset[str],
    data: SliceDataModule,
    options: TrainerOptions,
    folder: Path,
) -> Beginning:
    """Pre-train if the strategy asks for it, then make the terms and the optimizer groups, and freeze parts."""
    example = torch.zeros(1, data.options.channels, *data.options.size_yx)
    target = target_statistics(network, data, options.accelerator) if _teaches_target(strategy) else None
    if strategy.pretrain is not None:
        pretrain(strategy.pretrain, network, example, data, options, RunFolder(folder))
        copied = frozenset(name for name, _ in network.named_parameters())
    terms = make_terms(strategy, Start(network, copied, example, target))
    return Beginning(terms, *strategy.phases(network))


def _teaches_target(strategy: Strategy) -> bool:
    return bool(set(strategy.names_of_terms("needs_teacher")) & set(strategy.names_of_terms("needs_target")))


def make_terms(strategy: Strategy, start: Start) -> dict[str, Term]:
    """Make the extra terms of the loss by name.

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
            raise LiverError(f"finetune.terms.{name}: {error}; a term is built with the keyword `start`") from error
    return made


def try_strategy(strategy: Strategy, network: nn.Module, slices: SliceOptions) -> None:
    """Build a strategy's parts once with a copy of the network, so that mistakes show before anything is prepared."""
    if not needs_target(strategy) and strategy.target_root is not None:
        log.info("finetune.target_root is not used by this strategy.")
    needing = strategy.names_of_terms("needs_source_data")
    if needing and strategy.source_data is None:
        raise LiverError(
            f"finetune.source_data=null: expected a run folder with labelled training scans, which "
            f"{', '.join(needing)} needs; give finetune.source_data=..."
        )
    if strategy.source_data is not None and strategy.copied_source is None and not needing:
        log.info("finetune.source_data is not used: this strategy has no source that could be forgotten.")
    elif strategy.source_data is not None:
        source_run(strategy.source_data)
    strategy.check(network)
    example = torch.zeros(1, slices.channels, *slices.size_yx)
    if strategy.pretrain is not None:
        tried = MaskedReconstruction(deepcopy(network), strategy.pretrain, example)
        _refuse_coarse(strategy.pretrain.part, tried.sees(example), example)
    trial = deepcopy(network)
    terms: dict[str, Any] = {**make_terms(strategy, Start(trial, frozenset(), example))}
    for name in strategy.names_of_terms("needs_full_resolution"):
        trial(example)
        _refuse_coarse(f"finetune.terms.{name}.part", terms[name].features(), example)


def _refuse_coarse(option: str, features: Tensor, example: Tensor) -> None:
    if features.shape[-2:] != example.shape[-2:]:
        raise LiverError(
            f"{option}: expected a part at the full resolution of {tuple(example.shape[-2:])}, not one of "
            f"{tuple(features.shape[-2:])} pixels; name another, such as decoder.*"
        )


def pretrain(
    pretraining: Any,
    network: nn.Module,
    example: Tensor,
    data: SliceDataModule,
    options: TrainerOptions,
    files: RunFolder,
) -> None:
    """Train a network by masked reconstruction.

    The run folder keeps the weights and the last checkpoint, from which an interrupted pre-training continues.
    """
    done, last = files.pretrained, files.last_pretraining
    if done.exists():
        load_weights(network, read_tensors(done), done)
        return
    module = MaskedReconstruction(network, pretraining, example)
    trainer = pretraining_trainer(
        options, files.pretraining, epochs=pretraining.epochs, callbacks=[EpochSeeds(data.seed)]
    )
    begun = int(read_training(last, module)["epoch"]) + 1 if last.exists() else 0
    log.info(f"Pre-training on slices without masks: {pretraining.epochs} epochs, {begun} of them done")
    trainer.fit(module, data.unlabelled_dataloader(begun), ckpt_path=last if last.exists() else None, weights_only=True)
    with replacing(done) as partial_file, partial_file.open("wb") as file:
        torch.save({name: tensor.cpu() for name, tensor in network.state_dict().items()}, file)
