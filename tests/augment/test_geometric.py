import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lightning_liver.augment.geometric import FOLDING, Affine, Elastic
from lightning_liver.augment.policy import AIR_HU
from lightning_liver.errors import LiverError
from lightning_liver.volume import Slice
from tests.augment.marked import marked, nobody, policy

STILL = {"rotation_degrees": 0.0, "scale": 0.0, "shift_mm": 0.0}


def affine(seed: int, **options: float) -> Affine:
    made = Affine(**(STILL | options), probability=1)
    made.set_random_seed(seed)
    return made


def test_flips_are_exact_and_independent() -> None:
    image = marked()
    seen = {policy("flip")(image, seed, nobody).hu.tobytes() for seed in range(40)}
    flips = (image.hu, image.hu[:, ::-1], image.hu[::-1], image.hu[::-1, ::-1])
    assert seen == {np.ascontiguousarray(flipped).tobytes() for flipped in flips}
    only = policy("flip", left_right=1, up_down=0)(image, 0, nobody)
    np.testing.assert_array_equal(only.labels, image.labels[:, ::-1])


def test_transforms_are_applied_independently() -> None:
    """The library's set_random_seed starts the same stream in every transform, so that both flips coincide."""
    image = marked()
    outcomes = [policy("flip")(image, seed, nobody).hu for seed in range(200)]
    horizontal = [np.array_equal(hu, image.hu[:, ::-1]) or np.array_equal(hu, image.hu[::-1, ::-1]) for hu in outcomes]
    vertical = [np.array_equal(hu, image.hu[::-1]) or np.array_equal(hu, image.hu[::-1, ::-1]) for hu in outcomes]
    assert abs(np.corrcoef(horizontal, vertical)[0, 1]) < 0.25


def test_zero_motion_changes_no_bit() -> None:
    image = marked((50, 61), spacing_mm=(1.2, 0.8))
    for name, options in (("rotate", {"rotation_degrees": 0}), ("elastic", {"amplitude_mm": 0})):
        same = policy(name, **options)(image, 3, nobody)
        np.testing.assert_array_equal(same.hu, image.hu)
        np.testing.assert_array_equal(same.labels, image.labels)


@given(st.integers(0, 10**6), st.floats(0.5, 4), st.floats(0.5, 4))
def test_rotation_keeps_lengths_in_millimetres(seed: int, y_mm: float, x_mm: float) -> None:
    matrix = affine(seed, rotation_degrees=180).origin((60, 80), (y_mm, x_mm))[:, :2]
    to_mm = np.diag([x_mm, y_mm])
    turn = to_mm @ matrix @ np.linalg.inv(to_mm)
    np.testing.assert_allclose(turn @ turn.T, np.eye(2), atol=1e-9)
    assert np.linalg.det(turn) == pytest.approx(1)


@given(st.integers(0, 10**6))
def test_shift_and_scale_stay_within_their_options(seed: int) -> None:
    shape, spacing_mm = (60, 80), (1.5, 3.0)
    matrix = affine(seed, scale=0.25, shift_mm=30).origin(shape, spacing_mm)
    sizes = 1 / np.diag(matrix[:, :2])
    assert sizes[0] == pytest.approx(sizes[1])
    assert 0.75 <= sizes[0] <= 1.25
    middle = np.array([79, 59]) / 2
    came_from = np.linalg.solve(matrix[:, :2], middle - matrix[:, 2])  # where the centre goes
    assert np.all(np.abs((came_from - middle) * spacing_mm[::-1]) <= 30 + 1e-6)


def test_beyond_the_slice_is_air() -> None:
    image = marked()
    moved = policy("rotate", rotation_degrees=45)(image, 0, nobody)
    assert moved.hu.min() >= AIR_HU
    assert (moved.hu == AIR_HU).mean() > 0.02
    assert not moved.labels[moved.hu[..., 0] == AIR_HU].any()


@pytest.mark.parametrize("name", ["rotate", "geometric", "elastic", "flip"])
def test_mask_and_image_move_by_the_same_fraction_of_a_pixel(name: str) -> None:
    """The centre of the liver's mark, weighed by HU, is that of its mask, on pixels that are not square."""
    still = marked((120, 90), spacing_mm=(1.5, 2.5))
    labels = (still.labels > 0).astype(np.uint8)
    image = Slice(labels.astype(np.float32)[..., None], labels, still.spacing_mm)
    y, x = np.mgrid[:120, :90]
    offsets = []
    for seed in range(30):
        moved = policy(name)(image, seed, nobody)
        weight = np.clip(moved.hu[..., 0], 0, 1)
        if moved.labels[[0, -1]].any() or moved.labels[:, [0, -1]].any():
            continue  # cut by the edge
        offsets.append(
            [(axis * weight).sum() / weight.sum() - (axis * moved.labels).sum() / moved.labels.sum() for axis in (y, x)]
        )
    assert len(offsets) > 5
    assert np.abs(np.mean(offsets, axis=0)).max() < 0.05
    assert np.median(np.abs(offsets)) < 0.1


@settings(max_examples=40)
@example(667631, 98.5, 0.7, 1.42)
@given(st.integers(0, 10**6), st.floats(12, 100), st.floats(0.7, 3), st.floats(0.7, 3))
def test_elastic_never_folds(seed: int, grid_mm: float, y_mm: float, x_mm: float) -> None:
    """The Jacobian stays positive at the largest permitted amplitude: anatomy keeps its order."""
    bending = Elastic(amplitude_mm=grid_mm * FOLDING, grid_mm=grid_mm, probability=1)
    bending.set_random_seed(seed)
    origin = bending.origin((64, 72), (y_mm, x_mm)).astype(float)  # far less or far more than the grid
    dy, dx = np.gradient(origin[..., 1]), np.gradient(origin[..., 0])
    assert (dy[0] * dx[1] - dy[1] * dx[0]).min() > 0


@given(st.integers(0, 10**6))
def test_elastic_moves_by_at_most_about_its_amplitude(seed: int) -> None:
    bending = Elastic(amplitude_mm=8, grid_mm=48, probability=1)
    bending.set_random_seed(seed)
    origin = bending.origin((96, 96), (3.0, 1.5))
    y, x = np.mgrid[:96, :96]
    moves_mm = np.stack([(origin[..., 1] - y) * 3.0, (origin[..., 0] - x) * 1.5])
    assert np.abs(moves_mm).max() <= 8 * 1.6, "cubic interpolation overshoots its nodes a little, along both axes"


def test_amplitude_that_may_fold_is_refused() -> None:
    with pytest.raises(LiverError, match=r"amplitude_mm=20: expected .*grid_mm=48, 8,"):
        policy("elastic", amplitude_mm=20)
