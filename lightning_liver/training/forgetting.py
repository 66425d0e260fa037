"""Forgetting of the source task by fine-tuning."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import asdict
from pathlib import Path

from lightning_liver.augment.policy import none
from lightning_liver.build import build, prepared
from lightning_liver.data.datamodule import SliceDataModule
from lightning_liver.data.splits import Split
from lightning_liver.errors import LiverError
from lightning_liver.finetune.strategy import Strategy
from lightning_liver.run_folder import RunFolder
from lightning_liver.runs.checkpoints import load_weights, read_checkpoint
from lightning_liver.runs.trained import network_weights, read_run
from lightning_liver.training.settings import TrainerOptions
from lightning_liver.training.task import SegmentationTask
from lightning_liver.training.trainer import bare_trainer
from lightning_liver.types import Metrics


def forgetting(
    strategy: Strategy, task: SegmentationTask, best: Path, options: TrainerOptions, trust: Sequence[str]
) -> Metrics:
    """Return the Dice of the test cases of finetune.source_data, by that run's network and by the fine-tuned one.

    They are called source/before/... and source/after/...; each network sees slices as it was trained to see them.
    Without a source that could be forgotten there are none.

    Args:
        trust: modules of other code from which that run may be built.

    Raises:
        LiverError: finetune.source_data is no run folder with test cases.
    """
    if strategy.source_data is None or strategy.copied_source is None:
        return {}
    run = source_run(strategy.source_data)
    source = read_run(run, option="finetune.source_data", trust=trust)
    store, split = prepared(source.config.data), Split.read(RunFolder(run).split)
    tuned, checkpoint = deepcopy(task.network), read_checkpoint(best)
    load_weights(tuned, network_weights(checkpoint["state_dict"]), best)
    after = (tuned, checkpoint[SliceDataModule.__qualname__])
    scores: Metrics = {}
    before = (source.network, asdict(source.normalization))
    for when, (network, normalization) in {"before": before, "after": after}.items():
        data = SliceDataModule(store, split, none(), build(source.config.data.slices), seed=0)
        data.load_state_dict(normalization)
        measured = bare_trainer(options).test(task.with_network(network), data, verbose=False)[0]
        wanted = {name: value for name, value in measured.items() if name.endswith(("/dice_per_case", "/dice_global"))}
        scores |= {name.replace("test/", f"source/{when}/"): float(value) for name, value in wanted.items()}
    return scores


def source_run(typed: str) -> Path:
    """Return the folder of finetune.source_data.

    Raises:
        LiverError: it is no run folder, or its run has no test cases.
    """
    run = Path(typed).expanduser()
    files = RunFolder(run)
    for needed in (files.config, files.split, files.best):
        if not needed.is_file():
            raise LiverError(f"finetune.source_data={run}: expected a run folder with {needed.relative_to(run)}")
    if not Split.read(files.split).test:
        raise LiverError(f"finetune.source_data={run}: expected a run with test cases; give another run")
    return run
