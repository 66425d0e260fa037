"""The coarse pass skips slices without liver and keeps all with it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lightning_liver.data.slices import Normalization
from lightning_liver.inference.coarse import coarse_places, places_between
from lightning_liver.inference.network import TrainedNetwork
from lightning_liver.inference.postprocess import PostProcess
from lightning_liver.inference.predict_volume import VolumeOptions, predict_volume
from lightning_liver.inference.thresholds import HALF
from lightning_liver.volume import Volume

ALL = VolumeOptions.masks_alone(
    thresholds=HALF,
    post_process=PostProcess(),
    batch_size=3,
    flips=((),),
    autocast=None,
    device=torch.device("cpu"),
)


class Bright(torch.nn.Module):
    """Labels bright pixels as liver, and counts its slices."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.count += len(images)
        middle = images[:, images.shape[1] // 2]
        return torch.stack((middle - 0.6, middle - 0.9), dim=1)


def scan(*livers: tuple[int, int], slices: int = 40, spacing_mm: float = 2.0) -> Volume:
    hu = np.full((slices, 8, 8), -100, np.int16)
    for first, last in livers:
        hu[first : last + 1, 2:5, 2:5] = 150
    return Volume(hu, (spacing_mm, 4.0, 4.0), np.diag([4.0, 4.0, spacing_mm, 1.0]))


def predicted(volume: Volume, options: VolumeOptions, context: int = 0) -> tuple[np.ndarray, int, list[int]]:
    network, calls = Bright(), []
    normalization = Normalization((-160.0, 240.0), context=context, mean=0.0, std=1.0)
    labels = predict_volume(
        volume, [TrainedNetwork(network, normalization, None, 1)], options, progress=calls.append
    ).labels
    return labels, network.count, calls


@given(
    count=st.integers(1, 300),
    spacing_mm=st.floats(0.3, 12),
    step_mm=st.floats(0, 40),
    start=st.integers(0, 299),
    thickness=st.integers(1, 300),
)
def test_a_liver_as_thick_as_a_step_is_processed_whole(
    count: int, spacing_mm: float, step_mm: float, start: int, thickness: int
) -> None:
    places = coarse_places(count, spacing_mm, step_mm)
    assert places[0] == 0
    assert places[-1] == count - 1
    gaps = np.diff(places)
    assert all(gap == 1 or gap * spacing_mm <= step_mm * (1 + 1e-9) for gap in gaps)
    shows = np.zeros(count, bool)
    shows[min(start, count - 1) :][:thickness] = True
    between = places_between(places, shows[places])
    assert not set(places) & set(between)
    if shows.sum() >= max(gaps, default=1):
        assert set(np.flatnonzero(shows)) <= set(places) | set(between)
    if not shows[places].any():
        assert between == []


@pytest.mark.parametrize("context", [0, 1])
def test_masks_equal_those_of_a_pass_over_all_slices(context: int) -> None:
    volume = scan((7, 13), (30, 39))
    labels, count, calls = predicted(volume, replace(ALL, coarse_mm=10.0), context)
    everything, count_of_all, calls_of_all = predicted(volume, ALL, context)
    assert everything.any()
    assert np.array_equal(labels, everything)
    assert count_of_all == len(volume.hu) == sum(calls) == sum(calls_of_all)
    assert count < 32


def test_slices_as_far_apart_as_a_step_are_all_processed() -> None:
    volume = scan((7, 7), spacing_mm=10.0)
    assert predicted(volume, replace(ALL, coarse_mm=10.0))[0][7].any()


def test_a_liver_thinner_than_a_step_may_be_missed_and_few_slices_are_processed() -> None:
    labels, count, _ = predicted(scan((7, 8)), replace(ALL, coarse_mm=10.0))
    assert not labels.any()
    assert count == 9


def test_specks_start_no_search_but_are_kept() -> None:
    specks = scan()
    specks.hu[::5, 2:4, 2:4] = 150  # 64 mm2
    labels, count, _ = predicted(specks, replace(ALL, coarse_mm=10.0))
    assert count == 9
    assert labels[5].any(), "a speck on a coarse slice stays labelled"


def test_maps_cover_all_slices() -> None:
    _, count, _ = predicted(scan(), replace(ALL, coarse_mm=10.0, probabilities=True))
    assert count == 40
