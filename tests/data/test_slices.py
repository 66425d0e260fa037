from collections import Counter
from pathlib import Path
from typing import Any

import albumentations
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from lightning_liver.data import sources
from lightning_liver.data.prepare import prepare
from lightning_liver.data.sampling import Companion, Draw, EpochSampler, Pools
from lightning_liver.data.slices import (
    Augment,
    CaseBatches,
    Normalization,
    TrainingSlices,
    WholeSlices,
    _spread_evenly,
    crop_or_pad,
)
from lightning_liver.data.store import Store
from lightning_liver.errors import LiverError
from lightning_liver.volume import Slice
from tests.augment.marked import policy
from tests.conftest import write_scan

NORMALIZATION = Normalization((-160, 240), 0, 0.0, 1.0)
EVEN = {"tumour": 1.0, "liver": 1.0, "any": 1.0}


@pytest.fixture
def store(scans: Path, tmp_path: Path) -> Store:
    write_scan(scans, 30, shape=(10, 44, 52))
    cases = sources.lits(scans, patients=None)
    return prepare(cases, store=tmp_path / "store", spacing_mm=None, workers=0, skip_bad=False)


def sampler(store: Store, *, seed: int = 0, rank: int = 0, world: int = 1, repeat: bool = False) -> EpochSampler:
    pools = Pools.of(list(store.cases.values()))
    return EpochSampler(pools, length=60, weights=EVEN, seed=seed, repeat=repeat, rank=rank, world=world)


def test_window_maps_its_ends_to_0_and_1(store: Store) -> None:
    hu = np.array([[-1024, -160, 40, 240, 3000]], np.int16)
    np.testing.assert_allclose(NORMALIZATION.window(hu), [[0, 0, 0.5, 1, 1]])


def test_context_repeats_the_last_slice_beyond_the_volume(store: Store) -> None:
    normalization = Normalization((-160, 240), 2, 0.0, 1.0)
    image = normalization.hu(store, "20", 1)
    expected = [store.read("20", "hu", z) for z in (0, 0, 1, 2, 3)]
    np.testing.assert_array_equal(image, np.stack(expected, axis=-1))


def test_standardising_subtracts_and_divides(store: Store) -> None:
    image = NORMALIZATION.hu(store, "20", 3)
    standard = Normalization((-160, 240), 0, 0.25, 0.5).tensor(image)
    np.testing.assert_allclose(standard[0].numpy(), (NORMALIZATION.window(image)[..., 0] - 0.25) / 0.5, rtol=1e-6)


def test_epoch_depends_on_seed_and_epoch_only(store: Store) -> None:
    assert sampler(store).draws(3) == sampler(store).draws(3)
    assert sampler(store).draws(3) != sampler(store).draws(4)
    assert sampler(store).draws(3) != sampler(store, seed=1).draws(3)


def test_kinds_are_drawn_by_weight_and_cases_uniformly(store: Store) -> None:
    pools = Pools.of(list(store.cases.values()))
    weights = {"tumour": 0.75, "liver": 0.25, "any": 0.0}
    many = EpochSampler(pools, length=6000, weights=weights, seed=0, repeat=False, rank=0, world=1).draws(0)
    with_tumour = sum(store.cases[draw.case].tumour_pixels[draw.z] > 0 for draw in many) / len(many)
    of_liver = [np.count_nonzero(r.tumour_pixels) / np.count_nonzero(r.liver_pixels) for r in store.cases.values()]
    assert with_tumour == pytest.approx(0.75 + 0.25 * np.mean(of_liver), abs=0.03)
    per_case = Counter(draw.case for draw in many)
    assert min(per_case.values()) > 0.85 * len(many) / len(store.cases)


def test_processes_share_an_epoch_without_overlap(store: Store) -> None:
    whole = list(sampler(store))
    parts = [list(sampler(store, rank=rank, world=4)) for rank in range(4)]
    assert [len(part) for part in parts] == [15] * 4
    assert sorted(draw for part in parts for draw in part) == sorted(whole)


def test_overfitting_repeats_the_first_epoch(store: Store) -> None:
    repeating = sampler(store, repeat=True)
    first = list(repeating)
    repeating.set_epoch(7)
    assert list(repeating) == first


def test_kind_without_slices_is_not_drawn(store: Store) -> None:
    healthy = list(store.cases.values())
    pools = Pools({"tumour": {}, "liver": Pools.of(healthy).kinds["liver"], "any": {}})
    drawn = EpochSampler(pools, length=20, weights=EVEN, seed=0, repeat=False, rank=0, world=1).draws(0)
    assert all(store.cases[draw.case].liver_pixels[draw.z] for draw in drawn)
    with pytest.raises(LiverError, match=r"data\.sampling=.* expected a kind"):
        EpochSampler(
            pools, length=20, weights={"tumour": 1.0, "liver": 0, "any": 0}, seed=0, repeat=False, rank=0, world=1
        )


def batches(store: Store, augment: Augment, workers: int, epochs: tuple[int, ...]) -> list[dict[str, torch.Tensor]]:
    tumours = Pools.of(list(store.cases.values())).kinds["tumour"]
    slices = TrainingSlices(store, NORMALIZATION, augment=augment, size=(32, 32), seed=5, tumours=tumours)
    drawer, loaded = sampler(store), []
    loader = DataLoader(slices, batch_size=6, sampler=drawer, num_workers=workers, persistent_workers=workers > 0)
    for epoch in epochs:
        drawer.set_epoch(epoch)
        loaded += list(loader)
    return loaded


def equal(first: list[dict[str, torch.Tensor]], second: list[dict[str, torch.Tensor]]) -> bool:
    return all(
        one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
        for one, other in zip(first, second, strict=True)
    )


@pytest.mark.parametrize(
    "name", ["all", "copy_paste", *(pytest.param(name, marks=pytest.mark.slow) for name in ("basic", "mixup"))]
)
def test_number_of_workers_changes_no_byte(store: Store, name: str) -> None:
    alone = batches(store, policy(name), 0, (0, 1))
    for workers in (1, 2, 4):
        assert equal(alone, batches(store, policy(name), workers, (0, 1)))


def repeats(augment: Augment, store: Store) -> int:
    """Count samples of two epochs that equal another one, though every sample is the same slice."""
    only = {"20": np.array([5])}
    slices = TrainingSlices(
        store, NORMALIZATION, augment=augment, size=(40, 48), seed=5, tumours=only
    )  # nothing is cut off
    pools = Pools({"tumour": {}, "liver": {}, "any": only})
    drawer = EpochSampler(pools, length=60, weights=EVEN, seed=0, repeat=False, rank=0, world=1)
    seen = []
    for epoch in (0, 1):
        drawer.set_epoch(epoch)
        for batch in DataLoader(slices, batch_size=6, sampler=drawer, num_workers=2):
            seen += [sample.numpy().tobytes() for sample in batch["image"]]
    return len(seen) - len(set(seen))


def test_every_sample_and_epoch_differs(store: Store) -> None:
    assert repeats(policy("gaussian"), store) == 0
    assert repeats(policy("elastic"), store) == 0


class AsTheLibraryDoes:
    """Policy of albumentations without a seed for each sample."""

    mixup = None

    def __init__(self) -> None:
        self.compose = albumentations.Compose([albumentations.ElasticTransform(alpha=300, sigma=8, p=1)])

    def __call__(self, image: Slice, seed: int, donor: object) -> Slice:
        changed = self.compose(image=image.hu, mask=image.labels)
        return Slice(changed["image"], changed["mask"], image.spacing_mm)


def test_albumentations_alone_repeats_samples_in_workers(store: Store) -> None:
    """The reason for our own seeds: the check of the test above fails with the library alone."""
    assert repeats(AsTheLibraryDoes(), store) >= 60


def test_an_epoch_does_not_depend_on_earlier_ones(store: Store) -> None:
    """A run resumed at epoch 2 draws the same samples."""
    row, alone = batches(store, policy("all"), 1, (0, 1, 2)), batches(store, policy("all"), 1, (2,))
    assert equal(row[-len(alone) :], alone)


def test_donors_are_slices_with_tumour_of_uniformly_drawn_cases(store: Store) -> None:
    tumours = Pools.of(list(store.cases.values())).kinds["tumour"]
    slices = TrainingSlices(store, NORMALIZATION, augment=policy("none"), size=(32, 32), seed=5, tumours=tumours)
    rng = np.random.default_rng(0)
    given = [slices.donor(rng) for _ in range(100)]
    assert all(image is not None and (image.labels == 2).any() for image in given)
    assert len({image.hu.tobytes() for image in given if image is not None}) > 10
    nobody = TrainingSlices(store, NORMALIZATION, augment=policy("none"), size=(32, 32), seed=5, tumours={})
    assert nobody.donor(rng) is None


def test_whole_slices_are_every_slice_once_and_never_mix_cases(store: Store) -> None:
    slices = WholeSlices(store, NORMALIZATION, cases=["30", "20"], native=True)
    batches = list(CaseBatches(slices, batch_size=5, rank=0, world=1))
    assert sorted(position for batch in batches for position in batch) == list(range(10 + 12))
    for batch in DataLoader(slices, batch_sampler=CaseBatches(slices, batch_size=5, rank=0, world=1)):
        assert len(batch["case"].unique()) == 1
        assert batch["grid"][0].tolist() == list(batch["labels"].shape[1:])


@given(st.integers(1, 60), st.integers(1, 60))
def test_a_choice_of_slices_is_evenly_spaced(count: int, most: int) -> None:
    chosen = _spread_evenly(count, most).tolist()
    assert len(set(chosen)) == len(chosen) == min(count, most)
    assert chosen == sorted(chosen)
    assert chosen[0] >= 0
    assert chosen[-1] < count
    assert [count - 1 - z for z in reversed(chosen)] == pytest.approx(chosen, abs=1), "no end is preferred"
    gaps = np.diff(chosen)
    assert gaps.size == 0 or gaps.max() - gaps.min() <= 1


def test_a_choice_of_slices_has_equally_many_of_each_case(store: Store) -> None:
    few = WholeSlices(store, NORMALIZATION, cases=["30", "20"], native=False, most=3)
    assert [case for case, _ in few.index] == [0, 0, 0, 1, 1, 1]
    item = few[4]
    assert (int(item["case"]), int(item["z"])) == few.index[4]


def test_processes_share_the_batches_of_evaluation(store: Store) -> None:
    slices = WholeSlices(store, NORMALIZATION, cases=["30", "20"], native=False)
    parts = [list(CaseBatches(slices, batch_size=5, rank=rank, world=2)) for rank in range(2)]
    positions = [position for part in parts for batch in part for position in batch]
    assert sorted(positions) == list(range(len(slices)))


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 40), st.integers(1, 40), st.integers(0, 99))
def test_crop_or_pad_gives_the_size_and_keeps_image_and_labels_together(
    height: int, width: int, to_height: int, to_width: int, seed: int
) -> None:
    labels = np.random.default_rng(seed).integers(0, 3, (height, width)).astype(np.uint8)
    image = np.stack([labels, 2 - labels + 1], axis=-1).astype(np.float32)
    cut, cut_labels = crop_or_pad(image, labels, (to_height, to_width), np.random.default_rng(seed))
    assert cut.shape == (to_height, to_width, 2)
    inside = cut[..., 1] > -1000  # air lies around it
    assert np.count_nonzero(inside) == min(height, to_height) * min(width, to_width)
    np.testing.assert_array_equal(cut[inside][:, 0], cut_labels[inside])
    assert not cut_labels[~inside].any()


def test_augment_none_keeps_the_slice(store: Store) -> None:
    slices = TrainingSlices(store, NORMALIZATION, augment=policy("none"), size=(40, 48), seed=5, tumours={})
    batch = slices[Draw(0, 0, "20", 5)]
    torch.testing.assert_close(batch["image"], NORMALIZATION.tensor(NORMALIZATION.hu(store, "20", 5)))
    np.testing.assert_array_equal(batch["labels"], store.read("20", "labels", 5))


def test_a_sample_is_accompanied_by_slices_of_two_other_domains(store: Store) -> None:
    """Without labels of the target, with those of the source; the sample itself stays as it is alone."""
    labelled = Companion(store, Pools.of(list(store.cases.values())), {"tumour": 1.0})
    options: dict[str, Any] = {"augment": policy("basic"), "size": (32, 32), "seed": 5, "tumours": {}}
    draw = Draw(0, 3, "20", 5)
    alone = TrainingSlices(store, NORMALIZATION, **options)[draw]
    both = TrainingSlices(store, NORMALIZATION, target=Companion.evenly(store), source=labelled, **options)[draw]
    assert set(both) - set(alone) == {"target", "source", "source_labels"}
    assert all(torch.equal(alone[name], both[name]) for name in alone)
    assert both["source_labels"].shape == (32, 32)
    one = TrainingSlices(store, NORMALIZATION, source=labelled, **options)[draw]
    assert torch.equal(one["source"], both["source"]), "one domain does not change what is drawn of the other"
