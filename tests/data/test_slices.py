from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from lightning_liver.augment.pipeline import Policy, basic, none
from lightning_liver.data import sources
from lightning_liver.data.prepare import prepare
from lightning_liver.data.slices import (
    Appearance,
    CaseBatches,
    EpochSampler,
    Pools,
    TrainingSlices,
    WholeSlices,
    crop_or_pad,
)
from lightning_liver.data.store import Store
from lightning_liver.errors import LiverError
from tests.conftest import write_scan

LOOK = Appearance((-160, 240), 0, 0.0, 1.0)
EVEN = {"tumour": 1.0, "liver": 1.0, "any": 1.0}


def policy() -> Policy:
    return basic(rotation_degrees=15, scale=0.1, shift=0.05, noise_hu=15, window_hu=(-160, 240))


@pytest.fixture
def store(scans: Path, tmp_path: Path) -> Store:
    write_scan(scans, 30, shape=(10, 44, 52))
    cases = sources.lits(scans, patients=None)
    return prepare(cases, store=tmp_path / "store", spacing_mm=None, workers=0, skip_bad=False)


def sampler(store: Store, *, seed: int = 0, rank: int = 0, world: int = 1, repeat: bool = False) -> EpochSampler:
    pools = Pools.of(list(store.cases.values()))
    return EpochSampler(pools, length=60, shares=EVEN, seed=seed, repeat=repeat, rank=rank, world=world)


def test_window_maps_its_ends_to_0_and_1(store: Store) -> None:
    hu = np.array([[-1024, -160, 40, 240, 3000]], np.int16)
    np.testing.assert_allclose(LOOK.window(hu), [[0, 0, 0.5, 1, 1]])


def test_context_repeats_the_last_slice_beyond_the_volume(store: Store) -> None:
    look = Appearance((-160, 240), 2, 0.0, 1.0)
    image = look.image(store, "20", 1)
    expected = [look.window(store.read("20", "hu", z)) for z in (0, 0, 1, 2, 3)]
    np.testing.assert_array_equal(image, np.stack(expected, axis=-1))


def test_standardising_subtracts_and_divides(store: Store) -> None:
    image = LOOK.image(store, "20", 3)
    standard = Appearance((-160, 240), 0, 0.25, 0.5).tensor(image)
    np.testing.assert_allclose(standard[0].numpy(), (image[..., 0] - 0.25) / 0.5, rtol=1e-6)


def test_epoch_depends_on_seed_and_epoch_only(store: Store) -> None:
    assert sampler(store).draws(3) == sampler(store).draws(3)
    assert sampler(store).draws(3) != sampler(store).draws(4)
    assert sampler(store).draws(3) != sampler(store, seed=1).draws(3)


def test_shares_are_kept_and_cases_count_alike(store: Store) -> None:
    pools = Pools.of(list(store.cases.values()))
    shares = {"tumour": 0.75, "liver": 0.25, "any": 0.0}
    many = EpochSampler(pools, length=6000, shares=shares, seed=0, repeat=False, rank=0, world=1).draws(0)
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


def test_kind_without_slices_passes_its_share_on(store: Store) -> None:
    healthy = list(store.cases.values())
    pools = Pools({"tumour": {}, "liver": Pools.of(healthy).kinds["liver"], "any": {}})
    drawn = EpochSampler(pools, length=20, shares=EVEN, seed=0, repeat=False, rank=0, world=1).draws(0)
    assert all(store.cases[draw.case].liver_pixels[draw.z] for draw in drawn)
    with pytest.raises(LiverError, match=r"data\.shares"):
        EpochSampler(
            pools, length=20, shares={"tumour": 1.0, "liver": 0, "any": 0}, seed=0, repeat=False, rank=0, world=1
        )


def samples(store: Store, workers: int, epochs: tuple[int, ...]) -> list[torch.Tensor]:
    slices = TrainingSlices(store, LOOK, augment=policy(), size=(32, 32), seed=5)
    drawer = sampler(store)
    loader = DataLoader(slices, batch_size=6, sampler=drawer, num_workers=workers, persistent_workers=workers > 0)
    batches = []
    for epoch in epochs:
        drawer.set_epoch(epoch)
        batches += [torch.cat([batch["image"].flatten(), batch["labels"].flatten().float()]) for batch in loader]
    return batches


def test_number_of_workers_changes_no_byte(store: Store) -> None:
    alone = samples(store, 0, (0, 1))
    for workers in (1, 2, 4):
        assert all(torch.equal(a, b) for a, b in zip(alone, samples(store, workers, (0, 1)), strict=True))


def test_every_sample_and_epoch_differs(store: Store) -> None:
    batches = samples(store, 2, (0, 1))
    seen = {tuple(batch[:2000].tolist()) for batch in batches}
    assert len(seen) == len(batches)


def test_epoch_alone_is_the_epoch_in_its_row(store: Store) -> None:
    """A run resumed at epoch 2 sees what it would have seen."""
    row, alone = samples(store, 1, (0, 1, 2)), samples(store, 1, (2,))
    assert all(torch.equal(a, b) for a, b in zip(row[-len(alone) :], alone, strict=True))


def test_whole_slices_are_every_slice_once_and_never_mix_cases(store: Store) -> None:
    slices = WholeSlices(store, LOOK, cases=["30", "20"], native=True)
    batches = list(CaseBatches(slices, batch_size=5, rank=0, world=1))
    assert sorted(position for batch in batches for position in batch) == list(range(10 + 12))
    for batch in DataLoader(slices, batch_sampler=CaseBatches(slices, batch_size=5, rank=0, world=1)):
        assert len(batch["case"].unique()) == 1
        assert batch["grid"][0].tolist() == list(batch["labels"].shape[1:])


def test_processes_share_the_batches_of_evaluation(store: Store) -> None:
    slices = WholeSlices(store, LOOK, cases=["30", "20"], native=False)
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
    np.testing.assert_array_equal(cut[..., 0], cut_labels)
    assert np.count_nonzero(cut[..., 1]) == min(height, to_height) * min(width, to_width)


def test_none_leaves_the_slice_alone(store: Store) -> None:
    image, labels = LOOK.image(store, "20", 5), store.read("20", "labels", 5)
    same, same_labels = none(image, labels, 3)
    np.testing.assert_array_equal(same, image)
    np.testing.assert_array_equal(same_labels, labels)
