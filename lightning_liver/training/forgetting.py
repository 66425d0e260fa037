"""Forgetting of the source task by fine-tuning."""

from copy import deepcopy
from pathlib import Path

from lightning_liver.augment.policy import none
from lightning_liver.build import build, prepared
from lightning_liver.data.datamodule import SliceDataModule
from lightning_liver.data.splits import Split
from lightning_liver.errors import LiverError
from lightning_liver.finetune.strategy import Strategy
from lightning_liver.runs.trained import network_weights, read_checkpoint, read_run
from lightning_liver.training.settings import TrainerOptions
from lightning_liver.training.task import SegmentationTask
from lightning_liver.training.trainer import bare_trainer
from lightning_liver.types import Metrics


def forgetting(
    strategy: Strategy,
    task: SegmentationTask,
    best: Path,
    options: TrainerOptions,
) -> Metrics:
    """Dice of the test cases of finetune.source_data, by that run's network and by the fine-tuned one.

    They are called source/before/... and source/after/...; each network sees slices as it was trained to see them.

    Raises:
        LiverError: finetune.source_data is no run folder with test cases.
    """
    if strategy.source_data is None or strategy.source is None or strategy.pretrain is not None:
        return {}
    run = source_run(strategy)
    source = read_run(run, option="finetune.source_data")
    store = prepared(source.config.data)
    split = Split.read(run / "split.json")
    mine, scores = task.network, Metrics()
    tuned, tuned_weights = deepcopy(mine), read_checkpoint(best)
    tuned.load_state_dict(network_weights(tuned_weights["state_dict"]))
    after = (tuned, tuned_weights[SliceDataModule.__qualname__])
    for when, (network, normalization) in {"before": (source.network, source.normalization), "after": after}.items():
        data = SliceDataModule(store, split, none(), build(source.config.data.slices), seed=0)
        data.load_state_dict(normalization)  # each network sees what it was trained to see
        task.network = network
        measured = bare_trainer(options).test(task, data, verbose=False)[0]
        wanted = {name: value for name, value in measured.items() if name.endswith(("/dice_per_case", "/dice_global"))}
        scores |= {name.replace("test/", f"source/{when}/"): float(value) for name, value in wanted.items()}
    task.network = mine
    return scores


def source_run(strategy: Strategy) -> Path:
    run = Path(str(strategy.source_data)).expanduser()
    for needed in (".hydra/config.yaml", "split.json", "checkpoints/best.ckpt"):
        if not (run / needed).is_file():
            raise LiverError(f"finetune.source_data={run}: not a run folder, it has no {needed}")
    if not Split.read(run / "split.json").test:
        raise LiverError(f"finetune.source_data={run}: that run has no test cases")
    return run
