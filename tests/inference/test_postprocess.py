import time
import tracemalloc
from collections import deque

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from lightning_liver.inference.postprocess import (
    PostProcess,
    drop_small_tumours,
    fill_holes,
    largest_liver,
    tumour_in_liver,
)

SPACING_MM = (2.0, 1.0, 0.5)
ALL = PostProcess(largest_liver=True, tumour_in_liver=True, fill_holes=True, min_tumour_mm3=3.0)
STEPS = ALL.steps()
EACH = {**STEPS, "all": ALL}

maps = arrays.arrays(np.uint8, st.tuples(*[st.integers(1, 6)] * 3), elements=st.integers(0, 2))
each_step = pytest.mark.parametrize("step", EACH.values(), ids=list(EACH))


def reached(mask: np.ndarray, start: tuple[int, ...]) -> set[tuple[int, ...]]:
    """Voxels that are joined to one through faces: an oracle without a library."""
    seen, waiting = {start}, deque([start])
    while waiting:
        place = waiting.popleft()
        for axis in range(3):
            for way in (-1, 1):
                near = tuple(p + way * (a == axis) for a, p in enumerate(place))
                inside = all(0 <= p < size for p, size in zip(near, mask.shape, strict=True))
                if inside and mask[near] and near not in seen:
                    seen.add(near)
                    waiting.append(near)
    return seen


def parts(mask: np.ndarray) -> list[set[tuple[int, ...]]]:
    found: list[set[tuple[int, ...]]] = []
    for place in map(tuple, np.argwhere(mask).tolist()):
        if not any(place in part for part in found):
            found.append(reached(mask, place))
    return found


def places(mask: np.ndarray) -> set[tuple[int, ...]]:
    return set(map(tuple, np.argwhere(mask).tolist()))


def neighbours(part: set[tuple[int, ...]]) -> set[tuple[int, ...]]:
    steps = [tuple(way * (a == axis) for a in range(3)) for axis in range(3) for way in (-1, 1)]
    return {tuple(p + s for p, s in zip(place, step, strict=True)) for place in part for step in steps}


@given(maps)
def test_only_the_largest_part_of_liver_stays(labels: np.ndarray) -> None:
    kept = largest_liver(labels, SPACING_MM)
    biggest = max(parts(labels > 0), key=len, default=set())
    assert places(kept > 0) == biggest
    assert all(kept[place] == labels[place] for place in biggest)


@given(maps)
def test_tumours_that_touch_no_liver_are_dropped(labels: np.ndarray) -> None:
    kept, liver = tumour_in_liver(labels, SPACING_MM), places(labels == 1)
    wanted = [part for part in parts(labels == 2) if neighbours(part) & liver]
    assert places(kept == 2) == set().union(*wanted)
    assert np.array_equal(kept == 1, labels == 1)


@given(maps)
def test_enclosed_background_is_filled(labels: np.ndarray) -> None:
    kept = fill_holes(labels, SPACING_MM)
    for lowest, filled in ((2, kept == 2), (1, kept > 0)):
        outside = reached(np.pad(labels < lowest, 1, constant_values=True), (0, 0, 0))
        inner = {tuple(p - 1 for p in place) for place in outside}
        assert places(~filled) == {p for p in inner if all(0 <= q < n for q, n in zip(p, labels.shape, strict=True))}


@given(maps, st.floats(0.5, 12))
def test_small_tumours_become_liver_where_they_touch_it(labels: np.ndarray, least_mm3: float) -> None:
    kept, liver = drop_small_tumours(labels, SPACING_MM, least_mm3=least_mm3), places(labels == 1)
    for part in parts(labels == 2):
        small = len(part) * 1.0 < least_mm3  # a voxel of 2 x 1 x 0.5 mm
        expected = (1 if neighbours(part) & liver else 0) if small else 2
        assert {int(kept[place]) for place in part} == {expected}
    assert np.array_equal(kept[labels < 2], labels[labels < 2])


@each_step
@given(labels=maps)
def test_every_step_is_idempotent_and_leaves_its_input(step: object, labels: np.ndarray) -> None:
    before = labels.copy()
    once = step(labels, SPACING_MM)  # type: ignore[operator]
    assert np.array_equal(before, labels)
    assert once.dtype == np.uint8
    assert np.array_equal(step(once, SPACING_MM), once)  # type: ignore[operator]


@each_step
@given(labels=maps, axis=st.integers(0, 2), pad=st.integers(0, 2))
def test_every_step_commutes_with_flips_and_padding(step: object, labels: np.ndarray, axis: int, pad: int) -> None:
    sizes = sorted(len(part) for part in parts(labels > 0))
    if len(sizes) > 1 and sizes[-1] == sizes[-2]:
        return  # which of two equally large parts stays depends on the order of voxels
    wide = np.pad(labels, pad)
    turned = np.flip(step(np.flip(wide, axis).copy(), SPACING_MM), axis)  # type: ignore[operator]
    assert np.array_equal(turned, np.pad(step(labels, SPACING_MM), pad))  # type: ignore[operator]


def test_steps_are_taken_in_the_stated_order() -> None:
    assert list(STEPS) == ["fill_holes", "largest_liver", "tumour_in_liver", "min_tumour_mm3=3"]
    assert not PostProcess().steps()


def test_a_tumour_with_a_rim_of_background_within_the_liver_stays() -> None:
    labels = np.zeros((14, 14, 14), np.uint8)
    labels[1:13, 1:13, 1:13] = 1
    labels[4:10, 4:10, 4:10] = 0
    labels[5:9, 5:9, 5:9] = 2
    kept = ALL(labels, SPACING_MM)
    assert np.array_equal(kept == 2, labels == 2)
    assert (kept > 0).sum() == 12**3


@given(maps)
def test_no_large_tumour_within_the_largest_liver_is_lost(labels: np.ndarray) -> None:
    kept = ALL(labels, SPACING_MM)
    liver = largest_liver(fill_holes(labels, SPACING_MM), SPACING_MM)
    for part in parts(liver == 2):
        if len(part) >= 3 and (liver == 1).any():
            assert part <= places(kept == 2)


def test_an_empty_prediction_stays_empty() -> None:
    assert not ALL(np.zeros((3, 4, 5), np.uint8), SPACING_MM).any()


@pytest.mark.slow
def test_a_full_size_scan_takes_two_seconds_of_processor_time() -> None:
    labels = np.zeros((500, 512, 512), np.uint8)
    labels[150:350, 100:350, 80:350] = 1
    labels[200:230, 150:200, 150:200] = 2
    began = time.process_time()
    ALL(labels, SPACING_MM)
    assert time.process_time() - began < 2


def test_steps_use_a_few_bytes_per_voxel() -> None:
    """So that a scan of 512x512x1000 is post-processed on a laptop; specks are what a poor prediction is full of."""
    labels = np.zeros((60, 384, 384), np.uint8)
    labels[5:55, 30:300, 30:350], labels[20:40, 100:200, 100:200] = 1, 2
    specks = np.random.default_rng(0).integers(0, labels.size, (2, 10_000))
    labels.flat[specks[0]], labels.flat[specks[1]] = 2, 0
    tracemalloc.start()
    ALL(labels, SPACING_MM)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6 * labels.nbytes
