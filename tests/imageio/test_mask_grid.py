"""Masks on the grid of a scan, and what is refused."""

import re
from pathlib import Path

import numpy as np
import pytest
from nibabel.affines import from_matvec
from nibabel.eulerangles import euler2mat

from lightning_liver.errors import LiverError
from lightning_liver.imageio.mask_grid import on_grid, refuse_larger
from lightning_liver.volume import from_canonical
from tests.imageio.nifti_files import LPS, SHAPE, SPACING_MM, labels_of
from tests.imageio.nrrd_files import scan_at

MASK = Path("mask.nrrd")


def placed(affine: np.ndarray, labels: np.ndarray | None = None, scan: np.ndarray = LPS) -> np.ndarray:
    """Return labels (i, j, k) as they lie in the scan's file."""
    labels = labels_of() if labels is None else labels
    return from_canonical(on_grid(MASK, labels.T, affine, scan_at(scan, SHAPE)), scan).T


def moved(*voxels: float) -> np.ndarray:
    return LPS @ from_matvec(np.eye(3), voxels)


def scaled(*factors: float) -> np.ndarray:
    return LPS @ np.diag([*factors, 1])


def refused(affine: np.ndarray, match: str, labels: np.ndarray | None = None) -> None:
    with pytest.raises(LiverError, match=f"^mask.nrrd: .*{re.escape(match)}"):
        placed(affine, labels)


def test_a_box_lies_where_its_origin_says() -> None:
    found = placed(moved(1, 2, 3), np.full((2, 3, 4), 2, np.uint8))
    expected = np.zeros(SHAPE, np.uint8)
    expected[1:3, 2:5, 3:7] = 2
    assert np.array_equal(found, expected)


def test_a_larger_grid_is_cut_where_it_has_no_label() -> None:
    found = placed(moved(-2, -1, -3), np.pad(labels_of(), ((2, 1), (1, 0), (3, 5))))
    assert np.array_equal(found, labels_of())


@pytest.mark.parametrize("voxels", [(9, 0, 0), (-9, 0, 0), (0, -6, 0), (0, 0, 7)])
def test_an_empty_mask_beside_the_scan_is_empty(voxels: tuple[float, ...]) -> None:
    assert not placed(moved(*voxels), np.zeros((2, 3, 4), np.uint8)).any()


@pytest.mark.parametrize(
    ("voxels", "count", "mm"), [((-2, 0, 0), 2 * 6 * 7, 1.4), ((0, 0, 3), 5 * 6 * 3, 7.5), ((0, 60, 0), 210, 48)]
)
def test_labels_outside_the_scan_are_counted_and_measured(voxels: tuple[float, ...], count: int, mm: float) -> None:
    refused(moved(*voxels), f"{count} labelled voxels lie outside the scan, by up to {mm} mm", np.ones(SHAPE, np.uint8))


@pytest.mark.parametrize(
    "affine", [moved(0.05, -0.08, 0.09), scaled(1 + 1e-3, 1, 1 - 1e-3), LPS + 1e-5 * np.ones((4, 4))]
)
def test_rounding_of_a_header_is_no_other_grid(affine: np.ndarray) -> None:
    affine[3] = 0, 0, 0, 1
    assert np.array_equal(placed(affine), labels_of())


def test_another_spacing_is_named() -> None:
    refused(
        scaled(1, 2, 1), "the mask's spacing is 0.7 x 1.6 x 2.5 mm, its scan's 0.7 x 0.8 x 2.5 mm (i, j, k); export"
    )


def test_a_spacing_that_drifts_over_many_voxels_is_another_one() -> None:
    """By 0.005 mm, over 201 voxels 0.7 voxels at each end."""
    many = np.zeros((201, 6, 7), np.uint8)
    refused(scaled(1 + 0.005 / 0.7, 1, 1), "the mask's spacing", many)


@pytest.mark.parametrize("sizes", [SHAPE, (1, 1, 1), (1, 6, 7)])
def test_a_thicker_slice_is_another_spacing_even_alone(sizes: tuple[int, int, int]) -> None:
    refused(scaled(1.5, 1, 1), "the mask's spacing", np.ones(sizes, np.uint8))


@pytest.mark.parametrize("angle", [0.2, 0.7, np.pi / 4])
def test_a_rotation_is_refused(angle: float) -> None:
    refused(from_matvec(euler2mat(angle) @ LPS[:3, :3], LPS[:3, 3]), "rotated or sheared against the scan's, by ")


def test_a_small_rotation_of_a_large_mask_is_refused_by_its_corners() -> None:
    many = np.zeros((201, 6, 201), np.uint8)
    turned = from_matvec(euler2mat(y=0.01) @ LPS[:3, :3])
    refused(turned, "rotated or sheared against the scan's", many)
    assert not placed(from_matvec(euler2mat(y=0.0001) @ LPS[:3, :3]), many).any()


@pytest.mark.parametrize(("voxels", "mm"), [((0.5, 0, 0), "0.35 x 0 x 0 mm"), ((1, 2.25, -0.2), "0 x 0.2 x 0.5 mm")])
def test_a_shift_between_the_voxels_is_told_in_millimetres(voxels: tuple[float, ...], mm: str) -> None:
    refused(moved(*voxels), f"the mask lies {mm} (i, j, k) off the nearest voxels of the scan")


@pytest.mark.parametrize(
    "linear", [np.zeros((3, 3)), np.full((3, 3), np.nan), np.ones((3, 3)), np.diag([1, 1, np.inf])]
)
def test_a_geometry_that_is_none_is_refused(linear: np.ndarray) -> None:
    refused(from_matvec(linear), "the mask's geometry is singular or not finite")


def test_a_mask_much_larger_than_its_scan_is_refused() -> None:
    scan = scan_at(LPS, SHAPE)
    refuse_larger(MASK, (10, 12, 14), scan)
    with pytest.raises(LiverError, match=r"the mask has 10 x 12 x 15 voxels, its scan 5 x 6 x 7 \(i, j, k\)"):
        refuse_larger(MASK, (10, 12, 15), scan)
    with pytest.raises(LiverError, match="a mask without voxels"):
        refuse_larger(MASK, (10, 0, 15), scan)


def test_the_scan_s_own_spacing_is_the_files() -> None:
    assert np.allclose(scan_at(LPS, SHAPE).spacing_mm[::-1], SPACING_MM)
