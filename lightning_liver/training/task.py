"""SegmentationTask: the LightningModule that trains a network and counts overlaps of whole volumes."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from inspect import Parameter, signature
from typing import Any, TypedDict

import pytorch_lightning as pl
import torch
from jaxtyping import Float
from pytorch_lightning.callbacks import Callback
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from lightning_liver.errors import LiverError
from lightning_liver.finetune.strategy import Groups
from lightning_liver.inference.label_maps import label_maps, multi_hot, whole_slice_logits
from lightning_liver.inference.thresholds import HALF, Thresholds
from lightning_liver.inference.tta import Axes
from lightning_liver.inference.uncertainty import Kind, Members
from lightning_liver.inference.views import predict_logits
from lightning_liver.losses.weighted import sums_in
from lightning_liver.metrics import overlap
from lightning_liver.training.callbacks import LossWeights
from lightning_liver.types import STRUCTURES
from lightning_liver.types.tensors import Batch, Images, LabelMaps, Masks, Scalar

Loss = Callable[..., Scalar]  # (logits, target), and where it has the keyword, distance
TermFunction = Callable[["SegmentationTask", Mapping[str, Tensor], Masks], Scalar]


class StepOutput(TypedDict):
    """Output of a validation or test step, which callbacks get; in testing on the scan's own grid."""

    logits: Masks
    labels: LabelMaps
    uncertainty: Float[Tensor, "batch height width"] | None


class SegmentationTask(pl.LightningModule):
    """Trains a network on slices and scores whole volumes by their Dice.

    Args:
        network: (batch, channel, height, width) -> logits (batch, cls, height, width).
        loss: (logits, target) -> scalar; gets float32 whatever the precision.
        terms: added to the loss by name: (task, batch, logits) -> scalar. Modules train with the network.
        optimizer: parameters -> optimizer.
        scheduler: (optimizer, total_steps) -> scheduler, stepped every step; total_steps() may still change.
        multiple: whole slices are padded to multiples of this.
        flips: views whose probabilities test and prediction average, see lightning_liver.inference.tta.
        groups: task -> the optimizer's parameter groups, each with its learning-rate multiplier as `scale`; None is one
            group of all that trains.
        compiled: the network, compiled for training steps; None trains with the network itself.
        planned_steps: steps of the whole run, once a budget in minutes has fixed them; until then None.
        thresholds: probabilities of liver and tumour that are enough in testing; asked for when testing begins.
        uncertainty: kind of the uncertainty map of test slices; None makes none.
        passes: Monte-Carlo dropout passes for that map; 0 uses the views of `flips`.
    """

    def __init__(
        self,
        network: nn.Module,
        loss: Loss,
        *,
        terms: Mapping[str, TermFunction],
        optimizer: Callable[[Iterable[Any]], Optimizer],
        scheduler: Callable[[Optimizer, Callable[[], float]], LRScheduler],
        multiple: int,
        flips: Sequence[Axes] = ((),),
        groups: Groups | None = None,
        compiled: Callable[[Images], Any] | None = None,
        planned_steps: Callable[[], int | None] = lambda: None,
        thresholds: Callable[[], Thresholds] = lambda: HALF,
        uncertainty: Kind | None = None,
        passes: int = 0,
    ) -> None:
        super().__init__()
        self.network, self.loss, self.terms = network, loss, dict(terms)
        self.optimizer, self.scheduler, self.multiple, self.flips = optimizer, scheduler, multiple, flips
        self.groups, self.compiled, self.planned_steps = groups, compiled, planned_steps
        self.thresholds, self.uncertainty, self.passes = thresholds, uncertainty, passes
        self.term_modules = nn.ModuleDict({n: term for n, term in self.terms.items() if isinstance(term, nn.Module)})
        # a sum that the loss wraps is no attribute of the task; a loss that is one is
        self.wrapped_sums = nn.ModuleList([] if isinstance(loss, nn.Module) else sums_in(loss))
        self.counts = overlap.empty(0)
        self.val_loss = torch.zeros(2)  # sum over slices, and their number
        self._test_thresholds = HALF

    @classmethod
    def load_from_checkpoint(  # type: ignore[override]
        cls, checkpoint_path: Any, map_location: Any = None, *, strict: bool | None = None, **arguments: Any
    ) -> "SegmentationTask":
        """Make a task of a checkpoint's weights and the constructor's arguments, which no checkpoint holds.

        Raises:
            LiverError: arguments are missing.
        """
        parameters = list(signature(cls.__init__).parameters.values())[1:]
        missing = [each.name for each in parameters if each.default is Parameter.empty and each.name not in arguments]
        if missing:
            raise LiverError(
                f"{cls.__name__}.load_from_checkpoint: a checkpoint holds weights, not {', '.join(missing)}. Pass "
                "these, or call lightning_liver.load_run(RUN_FOLDER) to predict; to train or test on, "
                "task = lightning_liver.build_task(cfg) and trainer.fit or .test(task, data, ckpt_path=CHECKPOINT)"
            )
        loaded: SegmentationTask = super().load_from_checkpoint(
            checkpoint_path, map_location, strict=strict, weights_only=True, **arguments
        )
        return loaded

    def with_network(self, network: nn.Module) -> "SegmentationTask":
        """Return a task that tests another network in the same way, at thresholds of one half."""
        same = {"optimizer": self.optimizer, "scheduler": self.scheduler, "multiple": self.multiple}
        return SegmentationTask(network, self.loss, terms={}, flips=self.flips, **same)  # type: ignore[arg-type]

    def forward(self, images: Images) -> Any:
        """Return logits; a list of them, coarse to fine, from a network that is supervised at several resolutions."""
        return self.network(images)

    def compute_loss(self, logits: Any, labels: LabelMaps) -> Scalar:
        """Return the loss in float32: sums over a slice overflow in half precision."""
        in_float32: Any = logits.float() if isinstance(logits, Tensor) else [level.float() for level in logits]
        with torch.autocast(self.device.type, enabled=False):
            return self.loss(in_float32, multi_hot(labels))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        logits = (self.compiled or self)(batch["image"])
        total = self.compute_loss(logits, batch["labels"])
        if "partner_labels" in batch:  # the batch is a blend of its slices: see augment.mixing.Mixup
            share = batch["share"][0]
            total = share * total + (1 - share) * self.compute_loss(logits, batch["partner_labels"])
        for name, term in self.terms.items():
            extra = term(self, batch, logits)
            self.log(f"train/{name}", extra, on_step=False, on_epoch=True, sync_dist=True)
            total = total + extra
        self.log("train/loss", total, prog_bar=True, on_step=True, on_epoch=False, sync_dist=True)
        return total

    def on_train_epoch_end(self) -> None:
        loss = self.trainer.callback_metrics.get("train/loss")
        if loss is not None and not torch.isfinite(loss):
            raise LiverError(
                f"training diverged: train/loss is {float(loss)} in epoch {self.current_epoch}. Try a lower "
                "optimizer.lr or trainer.precision=32-true; resume= goes back to the last whole epoch."
            )

    def on_validation_epoch_start(self) -> None:
        self._start_counting(self.trainer.val_dataloaders)
        self.val_loss = torch.zeros(2, dtype=None if self.device.type == "mps" else torch.float64, device=self.device)

    def on_test_epoch_start(self) -> None:
        self._start_counting(self.trainer.test_dataloaders)
        self._test_thresholds = self.thresholds()

    def validation_step(self, batch: Batch, batch_idx: int) -> StepOutput:
        """Predict the slices of a batch on the store's grid."""
        logits = whole_slice_logits(self, batch["image"], multiple=self.multiple)
        loss = self.compute_loss(logits, batch["labels"]).to(self.val_loss)
        self.val_loss += len(logits) * torch.stack([loss, torch.ones_like(loss)])
        return self._count({"logits": logits, "labels": label_maps(logits), "uncertainty": None}, batch)

    def test_step(self, batch: Batch, batch_idx: int) -> StepOutput:
        """Predict the slices of a batch on the scan's own grid."""
        members = None if self.uncertainty is None else Members()
        forward = partial(whole_slice_logits, multiple=self.multiple)
        height, width = batch["grid"][0].tolist()
        views = {"flips": self.flips, "members": members, "passes": self.passes}
        logits = predict_logits(self.network, forward, batch["image"], (height, width), **views)  # type: ignore[arg-type]
        unsure = members.uncertainty(self.uncertainty) if members and self.uncertainty else None
        labels = label_maps(logits, self._test_thresholds)
        return self._count({"logits": logits, "labels": labels, "uncertainty": unsure}, batch)

    def on_validation_epoch_end(self) -> None:
        total, slices = self.trainer.strategy.reduce(self.val_loss, reduce_op="sum")
        self.log("val/loss", (total / slices).float())
        self._log_scores("val")

    def on_test_epoch_end(self) -> None:
        self._log_scores("test")

    def configure_callbacks(self) -> Sequence[Callback]:
        """Return what sets the weights of a sum of losses before each step."""
        return [LossWeights(self.planned_steps)] if sums_in(self.loss) else []

    def configure_optimizers(self) -> Any:
        if self.groups is None:
            optimizer = self.optimizer(parameter for parameter in self.parameters() if parameter.requires_grad)
        else:
            optimizer = self.optimizer(self.groups(self))
            for group in optimizer.param_groups:
                group["lr"] *= group["scale"]
        scheduler = self.scheduler(optimizer, lambda: self.planned_steps() or self.trainer.estimated_stepping_batches)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def _start_counting(self, loader: Any) -> None:
        self.counts = overlap.empty(len(loader.dataset.cases)).to(self.device)

    def _count(self, prediction: StepOutput, batch: Batch) -> StepOutput:
        overlap.update(self.counts, batch["case"], prediction["labels"], batch["labels"])
        return prediction

    def _log_scores(self, stage: str) -> None:
        # every process counted its own slices: only sums over the whole volume make a score
        self.counts = self.trainer.strategy.reduce(self.counts, reduce_op="sum")  # type: ignore[assignment]
        per_case, overall = overlap.dice_per_case(self.counts), overlap.dice_global(self.counts)
        for c, structure in enumerate(STRUCTURES):
            self.log(f"{stage}/{structure}/dice_per_case", per_case[c].float(), prog_bar=stage == "val")
            self.log(f"{stage}/{structure}/dice_global", overall[c].float())
        self.log(f"{stage}/mean/dice_per_case", per_case.mean().float())
