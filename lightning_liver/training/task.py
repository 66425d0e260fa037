"""SegmentationTask: a network, a loss, extra loss terms and the scores, as Lightning wants them."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from inspect import signature
from typing import Any

import pytorch_lightning as pl
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from lightning_liver.errors import LiverError
from lightning_liver.inference import thresholds
from lightning_liver.inference.label_maps import label_maps, multi_hot, to_grid, whole_slice_logits
from lightning_liver.inference.thresholds import HALF, Thresholds
from lightning_liver.inference.tta import Axes, flipped_views
from lightning_liver.inference.uncertainty import Kind, Members, dropping_out
from lightning_liver.losses.distance import signed_distance
from lightning_liver.metrics import calibration, overlap
from lightning_liver.metrics import uncertainty as agreement
from lightning_liver.types import STRUCTURES, Images, LabelMaps, Masks, Scalar

Loss = Callable[..., Scalar]  # (logits, target), and where it has the keyword, distance
Term = Callable[["SegmentationTask", Mapping[str, Tensor], Masks], Scalar]
Groups = Callable[["SegmentationTask"], list[dict[str, Any]]]
Batch = dict[str, Tensor]

CALIBRATION_BINS = 15  # as Guo et al. 2017

_LIKELY = 0.01  # nearly all of a scan is below: called background with certainty, and rightly


class SegmentationTask(pl.LightningModule):
    """Trains a network on slices and scores whole volumes.

    Args:
        network: (batch, channel, height, width) -> logits (batch, cls, height, width).
        loss: (logits, target) -> scalar; gets float32 whatever the precision.
        terms: added to the loss by name: (task, batch, logits) -> scalar. Modules train with the network.
        test_losses: measured on the test cases by name, whatever the network was trained with.
        optimizer: parameters -> optimizer.
        scheduler: (optimizer, total_steps) -> scheduler, stepped every step; total_steps() may still change.
        multiple: whole slices are padded to multiples of this.
        flips: views over which test and prediction average, see lightning_liver.inference.tta.
        groups: task -> the optimizer's parameter groups, each with the factor of its learning rate as `scale`; None is
            one group of all that trains.

    Attributes:
        thresholds: probabilities of liver and tumour that are enough for test and prediction.
        tuning: a table of thresholds.empty that validation adds to, to find the best ones; None adds to none.
        calibration: bins of the probabilities on test cases wherever liver or tumour is at all likely.
        uncertainty: which one is compared with the mistakes on test cases, in the same places; None compares none.
        passes: with dropout, which are its views; 0 takes those of `flips`.
    """

    def __init__(
        self,
        network: nn.Module,
        loss: Loss,
        *,
        terms: Mapping[str, Term],
        test_losses: Mapping[str, Loss],
        optimizer: Callable[[Iterable[Any]], Optimizer],
        scheduler: Callable[[Optimizer, Callable[[], float]], LRScheduler],
        multiple: int,
        flips: Sequence[Axes] = ((),),
        groups: Groups | None = None,
    ) -> None:
        super().__init__()
        self.network, self.loss, self.terms, self.test_losses = network, loss, dict(terms), dict(test_losses)
        self.optimizer, self.scheduler, self.multiple, self.flips = optimizer, scheduler, multiple, flips
        self.groups = groups
        self.in_training: Callable[[Images], Any] | None = None  # the network, compiled for training steps
        self.total_steps: int | None = None  # of the run, once a budget in minutes has fixed it
        self.term_modules = nn.ModuleDict({n: term for n, term in self.terms.items() if isinstance(term, nn.Module)})
        self.counts = overlap.empty(0)
        self.loss_sums = torch.zeros(0, len(self.test_losses) + 1, dtype=torch.float64)  # of slices; their number last
        self.thresholds: Thresholds = HALF
        self.tuning: thresholds.Table | None = None
        self.calibration = calibration.empty(CALIBRATION_BINS)
        self.uncertainty: Kind | None = None
        self.passes = 0
        self.agreement = agreement.empty()

    def forward(self, images: Images) -> Any:
        """Logits; a list of them, coarse to fine, from a network that is supervised at several resolutions."""
        return self.network(images)

    def cost(self, logits: Any, labels: LabelMaps) -> Scalar:
        """The loss in float32: sums over a slice overflow in half precision."""
        in_float32: Any = logits.float() if isinstance(logits, Tensor) else [level.float() for level in logits]
        with torch.autocast(self.device.type, enabled=False):
            return self.loss(in_float32, multi_hot(labels))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        logits = (self.in_training or self)(batch["image"])
        total = self.cost(logits, batch["labels"])
        if "partner_labels" in batch:  # the batch is a blend of its slices: see augment.mixing.Mixup
            share = batch["share"][0]
            total = share * total + (1 - share) * self.cost(logits, batch["partner_labels"])
        for name, term in self.terms.items():
            extra = term(self, batch, logits)
            self.log(f"train/{name}", extra, on_step=False, on_epoch=True)
            total = total + extra
        self.log("train/loss", total, prog_bar=True, on_step=True, on_epoch=False)
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

    def on_test_epoch_start(self) -> None:
        self._start_counting(self.trainer.test_dataloaders)
        self.loss_sums = torch.zeros(len(self.counts), len(self.test_losses) + 1, dtype=torch.float64)
        self.calibration = calibration.empty(CALIBRATION_BINS)
        self.agreement = agreement.empty()

    def validation_step(self, batch: Batch, batch_idx: int) -> LabelMaps:
        """Predicted label maps of a batch on the store's grid."""
        logits = whole_slice_logits(self, batch["image"], multiple=self.multiple)
        self.log("val/loss", self.cost(logits, batch["labels"]), batch_size=len(logits), sync_dist=True)
        if self.tuning is not None:
            thresholds.update(self.tuning, batch["case"], logits, batch["labels"])
        return self._count(label_maps(logits), batch)

    def test_step(self, batch: Batch, batch_idx: int) -> LabelMaps:
        """Predicted label maps of a batch on the scan's own grid."""
        views = self._views(batch)
        logits = self._native(views.mean(dim=0), batch)
        self._measure(logits, batch)
        calibration.update(self.calibration, *_likely(logits, batch["labels"]))
        labels = label_maps(logits, self.thresholds)
        if self.uncertainty is not None:
            where = _is_likely(logits)
            unsure = self._unsure(views, batch, self.uncertainty)
            agreement.update(self.agreement, unsure[where], (labels != batch["labels"])[where])
        return self._count(labels, batch)

    def predict_step(self, batch: Batch, batch_idx: int) -> LabelMaps:
        """Predicted label maps of a batch on the scan's own grid."""
        return label_maps(self._native(self._views(batch).mean(dim=0), batch), self.thresholds)

    def losses_per_case(self) -> dict[str, list[float]]:
        """Each test loss of each test case: the mean over its batches of slices, weighted by their slices."""
        means = self.loss_sums[:, :-1] / self.loss_sums[:, -1:]
        return {name: means[:, n].tolist() for n, name in enumerate(self.test_losses)}

    def on_validation_epoch_end(self) -> None:
        self._log_scores("val")

    def on_test_epoch_end(self) -> None:
        self._log_scores("test")
        self.loss_sums = self._summed(self.loss_sums)
        for name, values in self.losses_per_case().items():
            self.log(f"test/loss/{name}", torch.tensor(values).mean())
        self.calibration = self._summed(self.calibration)
        for c, error in enumerate(calibration.expected_calibration_error(self.calibration).tolist()):
            self.log(f"test/{STRUCTURES[c]}/ece", error)
        if self.uncertainty is not None:
            self.agreement = self._summed(self.agreement)
            for figure in (agreement.auroc, agreement.aurc, agreement.best_aurc):
                value = figure(self.agreement)
                self.log(f"test/uncertainty/{figure.__name__}", math.nan if value is None else value)

    def configure_optimizers(self) -> Any:
        if self.groups is None:
            optimizer = self.optimizer(parameter for parameter in self.parameters() if parameter.requires_grad)
        else:
            optimizer = self.optimizer(self.groups(self))
            for group in optimizer.param_groups:
                group["lr"] *= group["scale"]
        scheduler = self.scheduler(optimizer, lambda: self.total_steps or self.trainer.estimated_stepping_batches)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def _start_counting(self, loader: Any) -> None:
        self.counts = overlap.empty(len(loader.dataset.cases)).to(self.device)

    def _count(self, prediction: LabelMaps, batch: Batch) -> LabelMaps:
        overlap.update(self.counts, batch["case"], prediction, batch["labels"])
        return prediction

    def _views(self, batch: Batch) -> Float[Tensor, "view batch cls height width"]:
        """Logits of the mirrored views on the store's grid."""
        network = partial(whole_slice_logits, self, multiple=self.multiple)
        return flipped_views(network, batch["image"], flips=self.flips)

    def _native(self, logits: Masks, batch: Batch) -> Float[Tensor, "batch cls grid_height grid_width"]:
        height, width = batch["grid"][0].tolist()
        return to_grid(logits, (height, width))

    def _unsure(self, views: Tensor, batch: Batch, kind: Kind) -> Tensor:
        """The uncertainty of every pixel (batch, y, x) on the scan's own grid."""
        members = Members()
        for view in () if self.passes else views:
            members.add(self._native(view, batch))
        with dropping_out(self.network):
            for _ in range(self.passes):
                logits = whole_slice_logits(self, batch["image"], multiple=self.multiple)
                members.add(self._native(logits, batch))
        return members.uncertainty(kind)

    def _measure(self, logits: Masks, batch: Batch) -> None:
        """A batch has slices of one case; the truth's distance maps are made once for all losses that take them."""
        target = multi_hot(batch["labels"])
        takers = {name for name, loss in self.test_losses.items() if "distance" in signature(loss).parameters}
        maps = {"distance": signed_distance(target)} if takers else {}
        with torch.autocast(self.device.type, enabled=False):
            values = [
                loss(logits, target, **(maps if name in takers else {})).item()
                for name, loss in self.test_losses.items()
            ]
        self.loss_sums[batch["case"][0]] += len(logits) * torch.tensor([*values, 1.0], dtype=torch.float64)

    def _summed(self, sums: Tensor) -> Tensor:
        return self.trainer.strategy.reduce(sums, reduce_op="sum")  # type: ignore[return-value]

    def _log_scores(self, stage: str) -> None:
        # every process counted its own slices: only sums over the whole volume make a score
        self.counts = self._summed(self.counts)
        per_case, overall = overlap.dice_per_case(self.counts), overlap.dice_global(self.counts)
        for c, structure in enumerate(STRUCTURES):
            self.log(f"{stage}/{structure}/dice_per_case", per_case[c].float(), prog_bar=stage == "val")
            self.log(f"{stage}/{structure}/dice_global", overall[c].float())
        self.log(f"{stage}/mean/dice_per_case", per_case.mean().float())


def _likely(logits: Masks, labels: LabelMaps) -> tuple[Tensor, Tensor]:
    """Probabilities and truth (1, cls, pixel) of the pixels where the network gives liver or tumour a chance."""
    probabilities, truth, where = logits.sigmoid(), multi_hot(labels).bool(), _is_likely(logits)
    return probabilities.movedim(1, -1)[where].T[None], truth.movedim(1, -1)[where].T[None]


def _is_likely(logits: Masks) -> Tensor:
    return (logits.sigmoid() > _LIKELY).any(dim=1)
