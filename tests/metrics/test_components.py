import time
from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from lightning_liver.metrics.components import (
    LPS,
    Components,
    axial_diameters_mm,
    box_of,
    centroids,
    components,
    largest_slices,
    masks_of,
    widened,
)
from lightning_liver.volume import from_canonical, to_canonical
from tests.metrics import oracles

SHAPE = (3, 4, 6)
SPACING_MM = (2.5, 0.75, 0.5)
masks = hnp.arrays(bool, SHAPE)
ORIENTATIONS = [
    np.vstack((np.column_stack((np.eye(3)[list(order)].T * signs, np.zeros(3))), (0, 0, 0, 1)))
    for order in permutations(range(3))
    for signs in product((-1, 1), repeat=3)
]
relaxed = settings(max_examples=40)


def labelled(parts: Components, shape: tuple[int, ...]) -> np.ndarray:
    labels = np.zeros(shape, int)
    for number in range(1, len(parts.voxels) + 1):
        labels[tuple(parts.part(number).T)] = number
    return labels


@relaxed
@given(mask=masks)
def test_components_are_those_of_flood_filling(mask: np.ndarray) -> None:
    found = components(mask, np.diag((-1.0, -1.0, 1.0, 1.0)))
    parts = [{tuple(place) for place in found.part(n + 1).tolist()} for n in range(len(found.voxels))]
    assert sorted(map(sorted, parts)) == sorted(map(sorted, oracles.parts(mask)))
    assert found.voxels.tolist() == [len(part) for part in parts]


@relaxed
@given(mask=masks, affine=st.sampled_from(ORIENTATIONS))
def test_numbers_are_those_that_scipy_gives_in_the_file(mask: np.ndarray, affine: np.ndarray) -> None:
    """The official scorer numbers lesions by scipy.ndimage.label on nibabel's array."""
    stored, _ = ndimage.label(from_canonical(mask, affine).transpose(2, 1, 0))
    expected = to_canonical(stored.transpose(2, 1, 0), affine)
    np.testing.assert_array_equal(labelled(components(mask, affine), mask.shape), expected)


@relaxed
@given(mask=masks)
def test_diameter_is_the_longest_distance_of_pixel_corners_in_a_slice(mask: np.ndarray) -> None:
    found = components(mask, LPS)
    expected = [
        oracles.longest_mm({tuple(place) for place in found.part(number + 1).tolist()}, SPACING_MM)
        for number in range(len(found.voxels))
    ]
    assert axial_diameters_mm(found, SPACING_MM).tolist() == pytest.approx(expected)


@relaxed
@given(mask=masks)
def test_places_of_parts_are_those_of_their_voxels(mask: np.ndarray) -> None:
    found = components(mask, LPS)
    parts = [found.part(number + 1) for number in range(len(found.voxels))]
    assert largest_slices(found).tolist() == [int(np.bincount(part[:, 0]).argmax()) for part in parts]
    np.testing.assert_allclose(centroids(found), np.array([part.mean(axis=0) for part in parts]).reshape(-1, 3))


def test_diameter_of_scattered_pixels_takes_no_time() -> None:
    """All pairs of the 200,000 corners of its runs would take 190 GB."""
    scattered = components(np.random.default_rng(0).random((1, 512, 512)) < 0.7, LPS)
    began = time.process_time()
    longest = axial_diameters_mm(scattered, (1.0, 1.0, 1.0)).max()
    assert longest == pytest.approx(np.hypot(512, 512), abs=4)
    assert time.process_time() - began < 5


def test_diameter_of_a_ball_is_that_of_its_widest_slice() -> None:
    z, y, x = np.ogrid[-20:21, -20:21, -20:21]
    ball = components(z**2 + y**2 + x**2 <= 15.5**2, LPS)
    assert axial_diameters_mm(ball, (5.0, 1.0, 1.0)).tolist() == pytest.approx([31], abs=1)


@given(first=masks, second=masks)
def test_box_is_the_smallest_around_both_masks(first: np.ndarray, second: np.ndarray) -> None:
    places = np.argwhere(first | second)
    expected = None if not len(places) else tuple(map(slice, places.min(0).tolist(), (places.max(0) + 1).tolist()))
    assert box_of(first, second) == expected


def test_a_box_is_widened_within_the_array() -> None:
    assert widened((slice(0, 2), slice(1, 4), slice(2, 6)), SHAPE) == (slice(0, 3), slice(0, 4), slice(1, 6))


@given(first=masks, second=masks)
def test_masks_of_voxels_are_the_masks_in_their_box(first: np.ndarray, second: np.ndarray) -> None:
    box = box_of(first, second)
    if first.any() and second.any() and box:
        for made, mask in zip(masks_of(np.argwhere(first), np.argwhere(second)), (first, second), strict=True):
            np.testing.assert_array_equal(made, mask[box])
