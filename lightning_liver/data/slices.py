"""Samples of slices: windowed, with neighbouring slices, augmented and cropped for training."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float32, Int64, Shaped, UInt8
from torch.utils.data import Dataset, Sampler

from lightning_liver.data.sampling import Companion, Draw, pick
from lightning_liver.data.store import HU_RANGE, Store
from lightning_liver.errors import LiverError
from lightning_liver.volume import Slice

Image = Float32[np.ndarray, "y x channel"]
Labels = UInt8[np.ndarray, "y x"]
Sample = dict[str, torch.Tensor]

KEPT_AS = "SliceDataModule"  # key of the normalization in a checkpoint, to be read without Lightning


@runtime_checkable
class Augment(Protocol):
    """Change of a slice by its own seed; `donor` returns another slice with tumour, if there is one.

    `mixup`, if not None, changes the samples of a batch together.
    """

    mixup: Callable[[list[Sample], np.random.Generator], list[Sample]] | None

    def __call__(self, image: Slice, seed: int, donor: Callable[[np.random.Generator], Slice | None]) -> Slice: ...


@dataclass(frozen=True)
class Normalization:
    """Normalization of HU to the network's input.

    Args:
        window_hu: range mapped to [0, 1]; values outside are clipped.
        context: neighbouring slices on each side, added as channels; beyond the volume its last slice is repeated.
        mean, std: subtracted and divided by after augmentation; 0 and 1 keep [0, 1].
    """

    window_hu: tuple[float, float]
    context: int
    mean: float
    std: float

    def hu(self, store: Store, case: str, z: int) -> Image:
        """Return the slice with its neighbours, in HU."""
        last = store.cases[case].shape[0] - 1
        neighbours = range(z - self.context, z + self.context + 1)
        slices = [store.read(case, "hu", min(max(n, 0), last)) for n in neighbours]
        return np.stack(slices, axis=-1).astype(np.float32)

    def window(self, hu: Shaped[np.ndarray, "y x *channel"]) -> Float32[np.ndarray, "y x *channel"]:
        low, high = self.window_hu
        scaled = (hu.astype(np.float32) - low) / (high - low)
        return np.clip(scaled, 0, 1, out=scaled)

    def tensor(self, hu: Image) -> torch.Tensor:
        """Return (channel, y, x), windowed and standardised."""
        standard = (self.window(hu) - np.float32(self.mean)) / np.float32(self.std)
        return torch.from_numpy(np.ascontiguousarray(standard.transpose(2, 0, 1)))


class TrainingSlices(Dataset[Sample]):
    """Augmented slices of one size, by Draw: image (channel, size, size) float32, labels (size, size) uint8.

    Args:
        tumours: case -> slices with tumour, for augmentations that copy tumours.
        target: slices of which each sample gets one as `target`, without labels; None adds none.
        source: slices of which each sample gets one as `source`, with `source_labels`.
    """

    def __init__(
        self,
        store: Store,
        normalization: Normalization,
        *,
        augment: Augment,
        size: tuple[int, int],
        seed: int,
        tumours: Mapping[str, np.ndarray],
        target: Companion | None = None,
        source: Companion | None = None,
    ) -> None:
        self.store, self.normalization, self.augment, self.size, self.seed, self.tumours = (
            store,
            normalization,
            augment,
            size,
            seed,
            tumours,
        )
        self.target, self.source = target, source

    def __getitem__(self, draw: Draw) -> Sample:
        seeds = np.random.SeedSequence([self.seed, draw.epoch, draw.position]).generate_state(8)
        hu, labels = self._sample(self.read(draw.case, draw.z), int(seeds[0]), int(seeds[1]))
        sample = {"image": self.normalization.tensor(hu), "labels": torch.from_numpy(labels)}
        if self.target is not None:
            sample["target"], _ = self._companion(self.target, seeds[2:5])
        if self.source is not None:
            sample["source"], sample["source_labels"] = self._companion(self.source, seeds[5:8])
        return sample

    def _companion(self, companion: Companion, seeds: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a sample of another domain; a case without labels is all background."""
        case, z = companion.draw(np.random.default_rng(seeds[0]))
        image = _read(self.normalization, companion.store, case, z)
        hu, labels = self._sample(image, int(seeds[1]), int(seeds[2]))
        return self.normalization.tensor(hu), torch.from_numpy(labels)

    def _sample(self, image: Slice, seed: int, place: int) -> tuple[np.ndarray, np.ndarray]:
        changed = self.augment(image, seed, self.donor)
        return crop_or_pad(changed.hu, changed.labels, self.size, np.random.default_rng(place))

    def __getitems__(self, draws: Sequence[Draw]) -> list[Sample]:
        """Return the samples of a batch, which PyTorch requests together."""
        samples = [self[draw] for draw in draws]
        if self.augment.mixup is None:
            return samples
        # spawn_key: a stream other than those of the samples
        batch = np.random.SeedSequence([self.seed, draws[0].epoch, draws[0].position], spawn_key=(1,))
        return self.augment.mixup(samples, np.random.default_rng(batch))

    def read(self, case: str, z: int) -> Slice:
        """Read a slice; a case without labels is all background."""
        return _read(self.normalization, self.store, case, z)

    def donor(self, rng: np.random.Generator) -> Slice | None:
        """Read a slice with tumour of a case drawn uniformly; None if no training case has any."""
        picked = pick(self.tumours, rng) if self.tumours else None
        return None if picked is None else self.read(*picked)


def _read(normalization: Normalization, store: Store, case: str, z: int) -> Slice:
    hu, record = normalization.hu(store, case, z), store.cases[case]
    labels = store.read(case, "labels", z) if record.labelled else np.zeros(hu.shape[:2], np.uint8)
    return Slice(hu, labels, record.spacing_mm[1:])


def crop_or_pad(
    image: Image, labels: Labels, size: tuple[int, int], rng: np.random.Generator
) -> tuple[Float32[np.ndarray, "height width channel"], UInt8[np.ndarray, "height width"]]:
    """Crop HU and labels to a random window of `size` (y, x); centre a smaller slice in air."""
    window = tuple(_span(n, wanted, rng) for n, wanted in zip(labels.shape, size, strict=True))
    image, labels = image[window], labels[window]
    missing = [wanted - n for n, wanted in zip(labels.shape, size, strict=True)]
    if any(missing):
        margins = [(gap // 2, gap - gap // 2) for gap in missing]
        image, labels = np.pad(image, [*margins, (0, 0)], constant_values=HU_RANGE[0]), np.pad(labels, margins)
    return image, np.ascontiguousarray(labels)


def _span(available: int, wanted: int, rng: np.random.Generator) -> slice:
    start = int(rng.integers(max(available - wanted, 0) + 1))
    return slice(start, start + wanted)


class WholeSlices(Dataset[dict[str, torch.Tensor]]):
    """Whole slices of some cases, for validation and testing.

    Items: image (channel, y, x) float32; case, the position of the case's name in `cases`, and z; labels (y, x) if the
    case has labels. `native` returns the labels on the scan's own grid instead of the store's, and that grid's height
    and width as `grid`. `most` is the maximum number of slices per case, evenly spaced; None is all.
    """

    def __init__(
        self, store: Store, normalization: Normalization, *, cases: Sequence[str], native: bool, most: int | None = None
    ) -> None:
        self.store, self.normalization, self.cases, self.native = store, normalization, list(cases), native
        self.index = [
            (c, int(z))
            for c, name in enumerate(self.cases)
            for z in _spread_evenly(store.cases[name].shape[0], most or store.cases[name].shape[0])
        ]

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, position: int) -> dict[str, torch.Tensor]:
        case, z = self.index[position]
        name = self.cases[case]
        item = {
            "image": self.normalization.tensor(self.normalization.hu(self.store, name, z)),
            "case": torch.tensor(case),
            "z": torch.tensor(z),
        }
        if self.native:
            item["grid"] = torch.tensor(self.store.cases[name].native_shape[1:])
        if self.store.cases[name].labelled:
            item["labels"] = torch.from_numpy(self.store.read(name, "native_labels" if self.native else "labels", z))
        return item


def _spread_evenly(count: int, most: int) -> Int64[np.ndarray, " z"]:
    """Return at most `most` of 0 to count - 1, in the middles of as many equal parts."""
    parts = min(count, most)
    return (np.arange(parts) * 2 + 1) * count // (2 * parts)


class CaseBatches(Sampler[list[int]]):
    """Batches of consecutive slices of one case, since cases differ in size; a process takes every `world`-th batch.

    They are smaller where a process would have none.

    Raises:
        LiverError: fewer slices than processes.
    """

    def __init__(self, slices: WholeSlices, *, batch_size: int, rank: int, world: int) -> None:
        cases = [case for case, _ in slices.index]
        if cases and len(cases) < world:
            raise LiverError(
                f"trainer.devices: expected at most {len(cases)} processes, one for each slice of a validation; take "
                "fewer, or a larger data.val_slices"
            )
        most = min(batch_size, -(-len(cases) // world)) if world > 1 else batch_size
        self.batches = _group_batches(cases, most)[rank::world]

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self.batches)


def _group_batches(cases: Sequence[int], batch_size: int) -> list[list[int]]:
    of_case: dict[int, list[int]] = {}
    for position, case in enumerate(cases):
        of_case.setdefault(case, []).append(position)
    return [
        positions[i : i + batch_size] for positions in of_case.values() for i in range(0, len(positions), batch_size)
    ]
