"""Batches of slices for training, validating and testing."""

import math
import signal
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import blosc2
import cv2
import pytorch_lightning as pl
import torch
from pydantic import AfterValidator
from pydantic.dataclasses import dataclass
from pytorch_lightning.trainer.states import TrainerFn
from torch.utils.data import DataLoader

from lightning_liver.augment.policy import none
from lightning_liver.data.labelled_slices import read_labelled_slices
from lightning_liver.data.sampling import Companion, EpochSampler, Kind, Pools
from lightning_liver.data.slices import Augment, CaseBatches, Normalization, TrainingSlices, WholeSlices
from lightning_liver.data.splits import Split
from lightning_liver.data.store import Store, intensity
from lightning_liver.types.options import Closed, Count, Natural, NonNegative, Side, Window
from lightning_liver.types.tensors import Images


def _check_weights(weights: dict[str, float]) -> dict[str, float]:
    if not sum(weights.values()) > 0:
        raise ValueError("expected a weight above 0; raise one")
    return weights


@dataclass(frozen=True, config=Closed)
class SliceOptions:
    """Options of drawing and normalizing slices; checked before anything is prepared.

    Args:
        window_hu: HU mapped to [0, 1].
        standardise: then subtract the mean and divide by the standard deviation of the training cases.
        size: pixels of a training sample, one number or (y, x); evaluation uses whole slices.
        context: neighbouring slices on each side, added as channels.
        slices_per_epoch: length of an epoch.
        sampling: weights of slices with tumour, with liver, of any kind.
        batch_size: slices per step and process.
        eval_batch_size: the same without gradients.
        num_workers: worker processes that load slices; 0 loads in the training process.
        val_slices: approximate number of slices of a validation while training, equal for each case; None is all.
        overfit: repeat the first epoch, sample for sample.
        labelled_slices: CSV with columns case and z, the only slices that train; None trains on all.
    """

    window_hu: Window
    standardise: bool
    size: Side | tuple[Side, Side]
    context: Natural
    slices_per_epoch: Count
    sampling: Annotated[dict[Kind, NonNegative], AfterValidator(_check_weights)]
    batch_size: Count
    eval_batch_size: Count
    num_workers: Natural
    val_slices: Count | None
    overfit: bool
    labelled_slices: Path | None = None  # earlier runs have none

    @property
    def size_yx(self) -> tuple[int, int]:
        return (self.size, self.size) if isinstance(self.size, int) else self.size

    @property
    def channels(self) -> int:
        return 2 * self.context + 1


class SliceDataModule(pl.LightningDataModule):
    """Data module that streams slices from a store.

    Args:
        store: the prepared cases.
        split: training, validation and test cases.
        augment: a policy, see lightning_liver.data.slices.Augment.
        seed: of the samples, together with epoch and position.
        planned_steps: steps of the whole run, after which the last epoch ends; None does not limit it.

    Attributes:
        target: slices without labels that accompany the training samples, as `target` of a batch; None has none.
        source: labelled slices that do, as `source` and `source_labels`.
    """

    def __init__(
        self,
        store: Store,
        split: Split,
        augment: Augment,
        options: SliceOptions,
        *,
        seed: int,
        planned_steps: Callable[[], int | None] = lambda: None,
    ) -> None:
        super().__init__()
        self.target: Companion | None = None
        self.source: Companion | None = None
        self.planned_steps = planned_steps
        self.store, self.split, self.augment, self.options, self.seed = store, split, augment, options, seed
        training = [store.cases[name] for name in split.train]
        mean, std = intensity(training, options.window_hu) if options.standardise else (0.0, 1.0)
        self.normalization = Normalization(options.window_hu, options.context, mean, max(std, 1e-6))

    def train_dataloader(self) -> DataLoader[Any]:
        # On resume Lightning makes the iterator, whose workers draw ahead, before it sets the sampler's epoch; its
        # current_epoch is still one behind the epoch in which the checkpoint was saved
        epoch = self.trainer.fit_loop.epoch_progress.current.processed if self.trainer else 0  # type: ignore[attr-defined]
        pools = Pools.of([self.store.cases[name] for name in self.split.train], self._labelled_slices())
        weights, left = self.options.sampling, self._left
        return self._drawn(self.store, pools, weights, epoch, left=left, target=self.target, source=self.source)

    def _labelled_slices(self) -> Mapping[str, Collection[int]] | None:
        path = self.options.labelled_slices
        return None if path is None else read_labelled_slices(path, [self.store.cases[n] for n in self.split.train])

    def unlabelled_dataloader(self, epoch: int) -> DataLoader[Any]:
        """Return slices of any kind of the target, else of the training cases, from an epoch on; ignore labels."""
        store = self.target.store if self.target else self.store
        cases = list(store.cases) if self.target else self.split.train
        return self._drawn(store, Pools.of([store.cases[name] for name in cases]), {"any": 1.0}, epoch)

    def target_batches(self) -> Iterator[Images]:
        """Yield data.slices_per_epoch crops of the target, drawn as in training but not augmented."""
        assert self.target is not None, "the run has no target"
        store, pools, weights = self.target.store, self.target.pools, self.target.weights
        large = self.options.eval_batch_size
        yield from (batch["image"] for batch in self._drawn(store, pools, weights, 0, augment=none(), batch_size=large))

    def target_slices(self) -> DataLoader[Any]:
        """Return all whole slices of the target."""
        assert self.target is not None, "the run has no target"
        return self._whole(list(self.target.store.cases), native=False, store=self.target.store)

    def _drawn(
        self,
        store: Store,
        pools: Pools,
        weights: Mapping[Kind, float],
        epoch: int,
        *,
        augment: Augment | None = None,
        batch_size: int | None = None,
        left: Callable[[], float] = lambda: math.inf,
        target: Companion | None = None,
        source: Companion | None = None,
    ) -> DataLoader[Any]:
        rank, world = self._processes()
        sampler = EpochSampler(
            pools,
            length=self.options.slices_per_epoch,
            weights=weights,
            seed=self.seed,
            repeat=self.options.overfit,
            rank=rank,
            world=world,
            left=left,
        )
        sampler.set_epoch(epoch)
        slices = TrainingSlices(
            store,
            self.normalization,
            augment=augment or self.augment,
            size=self.options.size_yx,
            seed=self.seed,
            tumours=pools.kinds["tumour"],
            target=target,
            source=source,
        )
        return DataLoader(
            slices,
            batch_size=min(batch_size or self.options.batch_size, self.options.slices_per_epoch // world),
            sampler=sampler,
            drop_last=True,
            persistent_workers=self.options.num_workers > 0,
            **self._loading(),
        )

    def val_dataloader(self) -> DataLoader[Any]:
        """Return val_slices of the slices while training, all of them afterwards."""
        most = self.options.val_slices
        if most is not None and self.trainer and self.trainer.state.fn == TrainerFn.FITTING:
            return self._whole(self.split.val, native=False, most=max(most // max(len(self.split.val), 1), 1))
        return self._whole(self.split.val, native=False)

    def test_dataloader(self) -> DataLoader[Any]:
        return self._whole(self.split.test, native=True)

    def state_dict(self) -> dict[str, Any]:
        """Return the normalization, without which the weights cannot be used."""
        return asdict(self.normalization) | {"window_hu": list(self.normalization.window_hu)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.normalization = Normalization(tuple(state["window_hu"]), state["context"], state["mean"], state["std"])

    def _whole(
        self, cases: Sequence[str], *, native: bool, most: int | None = None, store: Store | None = None
    ) -> DataLoader[Any]:
        rank, world = self._processes()
        slices = WholeSlices(store or self.store, self.normalization, cases=cases, native=native, most=most)
        batches = CaseBatches(slices, batch_size=self.options.eval_batch_size, rank=rank, world=world)
        return DataLoader(slices, batch_sampler=batches, **self._loading())

    def _loading(self) -> dict[str, Any]:
        return {
            "num_workers": self.options.num_workers,
            "worker_init_fn": _start_worker,
            "pin_memory": torch.cuda.is_available(),
            # own generator: iterators draw a seed, which would shift dropout if drawn from the global generator
            "generator": torch.Generator().manual_seed(self.seed),
        }

    def _left(self) -> float:
        steps = self.planned_steps()
        if steps is None or self.trainer is None:
            return math.inf
        return max(steps - self.trainer.global_step, 0) * self.trainer.accumulate_grad_batches * self.options.batch_size

    def _processes(self) -> tuple[int, int]:
        trainer = self.trainer
        return (trainer.global_rank, trainer.world_size) if trainer else (0, 1)


def _start_worker(_: int) -> None:
    """Limit a worker to one thread: the training process needs the others, and answers Slurm's warning alone."""
    if hasattr(signal, "SIGUSR2"):  # not on Windows
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    cv2.setNumThreads(0)
    blosc2.set_nthreads(1)
