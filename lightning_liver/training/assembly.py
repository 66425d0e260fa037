"""Assembly of a training run: everything that its config names, built once and checked before anything is prepared."""

import json
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import pytorch_lightning as pl
from omegaconf import DictConfig, OmegaConf
from pydantic import Strict, ValidationError
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import Logger
from torch import nn

from lightning_liver.audit.record import crossing_pairs
from lightning_liver.build import build, named_nodes, prepared
from lightning_liver.data.datamodule import SliceDataModule, SliceOptions
from lightning_liver.data.sampling import Companion
from lightning_liver.data.slices import Augment
from lightning_liver.data.splits import Split
from lightning_liver.data.store import Store
from lightning_liver.errors import LiverError, explain
from lightning_liver.files import write_whole
from lightning_liver.finetune.strategy import Strategy
from lightning_liver.inference.decision import post_process_of, thresholds_of
from lightning_liver.inference.tta import flips_for
from lightning_liver.run_folder import RunFolder
from lightning_liver.runs.trained import trusted
from lightning_liver.training.callbacks import Budget, EpochSeeds, StepBudget, StepPlan, Throughput
from lightning_liver.training.case_callbacks import Calibration, LossesOfCases
from lightning_liver.training.checks import check_callbacks, check_network_and_loss, check_optimizer_and_scheduler
from lightning_liver.training.compiling import compiled, is_wanted
from lightning_liver.training.domain_statistics import StatisticsByDomain, cases_of_target
from lightning_liver.training.loggers import build_loggers
from lightning_liver.training.memory_format import choose_memory_format
from lightning_liver.training.panels import ValidationPanels
from lightning_liver.training.processes import Place, processes_of
from lightning_liver.training.pruning import Pruning
from lightning_liver.training.run_state import RunState
from lightning_liver.training.settings import TrainerOptions, first_cases, limit_of
from lightning_liver.training.start import (
    begin,
    build_strategy,
    copy_source,
    learning_from_target,
    source_slices,
    target_store,
    try_strategy,
)
from lightning_liver.training.target_slices import matched
from lightning_liver.training.task import Loss, SegmentationTask
from lightning_liver.training.threshold_tuning import ThresholdTuning
from lightning_liver.training.trainer import summary_table, trainer
from lightning_liver.training.volume_scores import PostprocessGains, VolumeScores, check_scoring
from lightning_liver.types.options import Count, Seed, Switch, check

log = logging.getLogger(__name__)


class RunComponents(NamedTuple):
    """Parts of a run that need no scan, built and tried."""

    network: nn.Module
    loss: Loss
    augment: Augment
    slices: SliceOptions
    optimizer: Any
    scheduler: Any
    multiple: int
    test_losses: Mapping[str, Loss]
    strategy: Strategy
    copied: frozenset[str]


@dataclass(frozen=True)
class Measures:
    """Callbacks that measure validation and test cases."""

    tuning: ThresholdTuning
    gains: PostprocessGains
    volumes: VolumeScores
    losses: LossesOfCases
    calibration: Calibration

    def all(self) -> list[Callback]:
        return [self.tuning, self.gains, self.volumes, self.losses, self.calibration]


class TrainingRun(NamedTuple):
    """A training run, ready to start."""

    task: SegmentationTask
    data: SliceDataModule
    trainer: pl.Trainer
    loggers: Sequence[Logger]
    options: TrainerOptions
    strategy: Strategy
    measures: Measures
    throughput: Throughput
    by_domain: StatisticsByDomain


def assemble(cfg: DictConfig, options: TrainerOptions, state: RunState, place: Place | None = None) -> TrainingRun:
    """Build everything of a run: first what needs no scan, so that a mistake shows at once, then data, task, trainer.

    Args:
        place: of this process among those that train together; None is a run's only or first process.

    Raises:
        LiverError: an option, or two together, that cannot work; what preparing raises.
    """
    parts = _components(cfg, state.folder)
    options = _execution(options, parts, state)
    in_training = compiled(parts.network, options)
    of_user, loggers = _of_user(cfg, options), build_loggers(cfg, state)
    store, plan = prepared(cfg.data), StepPlan(options.max_steps or state.steps)
    split = _split(cfg.data, store, parts.slices, options, state.folder)
    target = target_store(parts.strategy, cfg.data)
    data = SliceDataModule(store, split, parts.augment, parts.slices, seed=cfg.seed, planned_steps=plan.planned)
    if target is not None:
        data.target = _companion(parts, data, target, options)
    data.source = source_slices(parts.strategy, cfg.data, parts.slices, trusted(cfg))
    start = begin(parts.strategy, parts.network, parts.copied, data, options, state.folder)
    measures = _measures(cfg, data, parts.test_losses)
    task = SegmentationTask(
        parts.network,
        parts.loss,
        terms=start.terms,
        optimizer=parts.optimizer,
        scheduler=parts.scheduler,
        multiple=parts.multiple,
        flips=flips_for(cfg.inference.flips),
        groups=start.groups,
        compiled=in_training,
        planned_steps=plan.planned,
        thresholds=measures.tuning.used,
    )
    throughput, by_domain = Throughput(), _statistics_by_domain(parts.strategy, data)
    callbacks = [EpochSeeds(cfg.seed), throughput, ValidationPanels(data, count=4)]
    callbacks += [*start.callbacks, by_domain, *measures.all()]
    callbacks += [*_ending(cfg, options, plan, state), *of_user]
    lightning = trainer(options, state.folder, callbacks=callbacks, loggers=loggers, place=place)
    if place is None:
        _announce(options, split, parts.slices, cfg.optimizer.get("lr"), state.folder)
    return TrainingRun(task, data, lightning, loggers, options, parts.strategy, measures, throughput, by_domain)


def reopen_loggers(run: TrainingRun, cfg: DictConfig, state: RunState) -> TrainingRun:
    """Return a run whose loggers go on with the files to which other processes have written."""
    loggers = build_loggers(cfg, state)
    run.trainer.loggers = list(loggers)
    return run._replace(loggers=loggers)


def _components(cfg: DictConfig, folder: Path) -> RunComponents:
    """Seed everything, build and try every component that needs no data, write the layer table to model.txt."""
    check("seed", cfg.seed, Seed)
    pl.seed_everything(cfg.seed, verbose=False)
    slices: SliceOptions = build(cfg.data.slices)
    network, loss, augment = build(cfg.model), build(cfg.loss), build(cfg.augment)
    _refuse_mixup_of_one(augment, slices)
    multiple = multiple_of(cfg.inference, network)
    _check_decision(cfg)
    check_network_and_loss(network, loss, slices.channels, slices.size_yx, multiple)
    optimizer, scheduler = build(cfg.optimizer), build(cfg.scheduler)
    try:
        check_optimizer_and_scheduler(optimizer, scheduler)
    except ValidationError as error:
        raise LiverError(explain(error, "scheduler")) from error
    write_whole(RunFolder(folder).model, summary_table(network, slices.channels, slices.size_yx) + "\n")
    test_losses = {name: build(node) for name, node in named_nodes("test_losses", cfg.test_losses).items()}
    strategy = build_strategy(cfg.get("finetune"))
    _refuse_compiled_hooks(cfg.trainer.compile, strategy)
    try_strategy(strategy, network, slices)
    copied = copy_source(strategy, network, folder)
    return RunComponents(network, loss, augment, slices, optimizer, scheduler, multiple, test_losses, strategy, copied)


def _execution(options: TrainerOptions, parts: RunComponents, state: RunState) -> TrainerOptions:
    """Choose whether to compile and the memory format, lay out the network's weights, and record both.

    A fraction in trainer.limit_train_batches becomes a number, of at least one batch.
    """
    shape = (parts.slices.batch_size, parts.slices.channels, *parts.slices.size_yx)
    compiles = is_wanted(options, hooked=bool(parts.strategy.terms))
    channels_last = choose_memory_format(parts.network, options, shape)
    state.record(compile=compiles, channels_last=channels_last)
    limit = options.limit_train_batches
    if limit is not None:
        own = parts.slices.slices_per_epoch // (processes_of(options) * options.num_nodes)
        limit = max(limit_of(own // parts.slices.batch_size, limit), 1)
    return replace(options, compile=compiles, channels_last=channels_last, limit_train_batches=limit)


def _split(data: DictConfig, store: Store, slices: SliceOptions, options: TrainerOptions, folder: Path) -> Split:
    """Return the split that the run began with, else a new one, and write its lists to split.json.

    Of the validation and test cases it has as many as trainer.limit_val_batches and trainer.limit_test_batches leave.
    """
    path = RunFolder(folder).split
    if path.exists():
        kept = Split.read(path)
        gone = [name for name in (*kept.train, *kept.val, *kept.test) if name not in store.cases]
        if gone:
            raise LiverError(f"{path} names cases that data.root no longer has: {', '.join(gone)}")
        return kept
    split = new_split(data, store)
    batches = {name: math.ceil(store.cases[name].shape[0] / slices.eval_batch_size) for name in store.labelled()}
    split = replace(
        split,
        val=first_cases(split.val, batches, options.limit_val_batches),
        test=first_cases(split.test, batches, options.limit_test_batches),
    )
    write_whole(path, json.dumps(split.to_dict(), indent=1) + "\n")
    _warn_of_leaks(store, split)
    return split


def _warn_of_leaks(store: Store, split: Split) -> None:
    """Warn of pairs of an audit of these scans, as of one patient, that lie in two parts of the split."""
    try:
        audit = crossing_pairs(store, split)
    except LiverError as error:
        log.warning(f"{error}; the split is not compared with the last audit")
        return
    if audit is None or not audit.pairs:
        return
    listed = "".join(
        f"\n  {pair.first} ({pair.first_part}) and {pair.second} ({pair.second_part}), "
        f"{pair.kind.replace('_', ' ')}: {pair.text}"
        for pair in audit.pairs
    )
    log.warning(
        f"The split leaks, if the audit of {audit.made} is right: these cases lie on both sides of it.{listed}\n"
        f"Look at them in {audit.folder}, and give the cases of a patient one name in data.patients or data.table"
    )


def new_split(data: DictConfig, store: Store) -> Split:
    """Split the labelled cases of a store by patient, as a data config says.

    Raises:
        LiverError: an invalid split, the same scan in two parts, or not one voxel of liver in its training cases.
    """
    patients = {name: store.cases[name].patient for name in store.labelled()}
    with_tumour = [name for name in patients if store.cases[name].has_tumour]
    parts = {name: part for name in patients if (part := store.cases[name].part)}
    split: Split = build(data.splitting, patients, with_tumour, parts=parts)
    _refuse_same_scan(split, store)
    if not any(any(store.cases[name].liver_pixels) for name in split.train):
        raise LiverError(
            f"data.root={data.get('root')}: expected a voxel of liver in the masks of the {len(split.train)} training "
            "cases; look at them, or say which values they have, as in 'data.labels={liver:[1,2],tumour:[2]}'"
        )
    return split


def _refuse_same_scan(split: Split, store: Store) -> None:
    """Refuse two cases of equal voxels in two parts, which no name or patient gives away: equal counts of every HU."""
    first: dict[tuple[object, ...], tuple[str, str]] = {}
    for part, names in split.to_dict().items():
        for name in names:
            record = store.cases[name]
            seen = first.setdefault((record.native_shape, *record.hu_counts), (name, part))
            if seen[1] != part and any(record.hu_counts):
                raise LiverError(
                    f"data.root: cases {seen[0]} in {seen[1]} and {name} in {part}: expected different scans, but all "
                    "their intensities are equal; remove one, or give both one patient in data.patients or data.table"
                )


def _companion(parts: RunComponents, data: SliceDataModule, target: Store, options: TrainerOptions) -> Companion:
    """Return how slices of the target are drawn, with finetune.target_sampling."""
    if parts.strategy.target_sampling is None:
        return Companion.evenly(target)
    whole = parts.copied == {name for name, _ in parts.network.named_parameters()}
    return matched(data, target, parts.network if whole else None, parts.multiple, options.accelerator)


def _statistics_by_domain(strategy: Strategy, data: SliceDataModule) -> StatisticsByDomain:
    learns = strategy.trains and bool(learning_from_target(strategy))
    return StatisticsByDomain(cases_of_target(data.store, data.split, str(strategy.target_root)) if learns else [])


def _measures(cfg: DictConfig, data: SliceDataModule, test_losses: Mapping[str, Loss]) -> Measures:
    given: Any = OmegaConf.to_container(cfg.inference)
    thresholds = given.get("thresholds")
    return Measures(
        tuning=ThresholdTuning(None if thresholds == "tuned" else thresholds_of(thresholds, None)),
        gains=PostprocessGains(data),
        volumes=VolumeScores(data, post_process_of(given.get("postprocess")), **cfg.scores),
        losses=LossesOfCases(test_losses),
        calibration=Calibration(),
    )


def _ending(cfg: DictConfig, options: TrainerOptions, plan: StepPlan, state: RunState) -> list[Callback]:
    """Return the callbacks that may end a run before its epochs are over."""
    callbacks: list[Callback] = []
    if options.budget == "max_steps":
        callbacks.append(StepBudget(plan))
    if options.max_minutes is not None:
        callbacks.append(Budget(minutes=options.max_minutes, plan=plan, record=lambda steps: state.record(steps=steps)))
    if cfg.trial:
        callbacks.append(Pruning(build(cfg.trial), record=lambda reason: state.record(pruned=reason)))
    return callbacks


def _of_user(cfg: DictConfig, options: TrainerOptions) -> list[Callback]:
    """Build the callbacks of conf/callbacks, or of the user's own yaml."""
    callbacks: list[Callback] = [build(node) for node in named_nodes("callbacks", cfg.get("callbacks")).values()]
    check_callbacks(callbacks, options)
    return callbacks


def _announce(options: TrainerOptions, split: Split, slices: SliceOptions, lr: object, folder: Path) -> None:
    threads = f", {options.threads} thread{'s' * (options.threads > 1)}" if options.threads else ""
    how = ", channels last" * bool(options.channels_last) + ", compiled" * bool(options.compile)
    log.info(
        f"Training on {options.accelerator} in {options.precision}{how}{threads}; "
        f"{len(split.train)} cases train, {len(split.val)} validate, {len(split.test)} test; run folder {folder}"
    )
    processes, batches = processes_of(options) * options.num_nodes, options.accumulate_grad_batches
    if processes * batches > 1:
        log.info(
            f"A step has {processes} process{'es' * (processes > 1)} x {slices.batch_size} slices x {batches} "
            f"batch{'es' * (batches > 1)} = {processes * slices.batch_size * batches} slices, at learning rate {lr}"
        )


def _refuse_mixup_of_one(augment: Augment, slices: SliceOptions) -> None:
    few = min(slices.batch_size, slices.slices_per_epoch)
    if augment.mixup is not None and few < 2:
        raise LiverError(
            f"data.batch_size={slices.batch_size}: expected batches of at least 2 slices, which mixup blends, not {few}"
        )


def _refuse_compiled_hooks(compile_: Any, strategy: Strategy) -> None:
    if strategy.terms and compile_ not in (None, False, "auto"):
        raise LiverError(
            f"trainer.compile=true cannot be combined with {', '.join(strategy.terms)}, which may hook into the "
            "network; set trainer.compile=false"
        )


def multiple_of(inference: DictConfig, network: nn.Module) -> int:
    """Return the number of which the height and width of slices must be multiples, for the network and the config."""
    check("inference.multiple", inference.multiple, Annotated[Count, Strict()])
    check("inference.flips", inference.flips, Switch | None)
    own: Any = getattr(network, "multiple", 1)
    return math.lcm(inference.multiple, own)


def _check_decision(cfg: DictConfig) -> None:
    """Check thresholds, post-processing and scoring before anything is trained."""
    given: Any = OmegaConf.to_container(cfg.inference)
    post_process_of(given.get("postprocess"))
    if given.get("thresholds") != "tuned":
        thresholds_of(given.get("thresholds"), None)
    check_scoring(**cfg.scores)
