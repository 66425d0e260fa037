"""The phantom is repeatable, lies in the ranges of real scans, and is not solved by thresholds."""

from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from lightning_liver.data import sources
from lightning_liver.data.phantom.data_set import _save, cases, render
from lightning_liver.data.phantom.domain import AS_MEASURED
from lightning_liver.errors import LiverError
from lightning_liver.imageio.nifti import read_labels, read_volume
from lightning_liver.volume import LABELS, Volume, canonical_spacing_mm, to_canonical

SEED = 0
Scan = tuple[Volume, np.ndarray]


@pytest.fixture(scope="module", params=[pytest.param(1, marks=pytest.mark.slow), 2])
def version(request: pytest.FixtureRequest) -> int:
    return request.param


@pytest.fixture(scope="module")
def scans(version: int) -> list[Scan]:
    return [drawn(case, version, matrix=128) for case in range(8)]


def drawn(case: int, version: int, *, seed: int = SEED, matrix: int = 32) -> Scan:
    return render(case, seed=seed, matrix=matrix, tumour_fraction=0.012, version=version)


@pytest.fixture(scope="module")
def diseased(scans: list[Scan]) -> list[Scan]:
    return [(volume, labels) for volume, labels in scans if (labels == LABELS["tumour"]).any()]


def test_a_case_is_repeatable_and_differs_by_seed_and_number(version: int) -> None:
    (first, labels), (again, labels_again) = (drawn(3, version, seed=1) for _ in range(2))
    assert np.array_equal(first.hu, again.hu)
    assert np.array_equal(labels, labels_again)
    assert np.array_equal(first.affine, again.affine)
    for other in (drawn(4, version, seed=1), drawn(3, version, seed=2), drawn(3, 3 - version, seed=1)):
        assert first.hu.shape != other[0].hu.shape or (first.hu != other[0].hu).mean() > 0.5


@pytest.mark.slow
def test_files_do_not_depend_on_count_and_workers(tmp_path: Path) -> None:
    cases(tmp_path / "two", count=2, seed=1, matrix=32, tumour_fraction=0.012, workers=0, version=2)
    made = cases(tmp_path / "three", count=3, seed=1, matrix=32, tumour_fraction=0.012, workers=2, version=2)
    assert [case.name for case in made] == ["0", "1", "2"]
    for file in sorted((tmp_path / "two").glob("*.nii.gz")):
        assert file.read_bytes() == (tmp_path / "three" / file.name).read_bytes()


def test_matrix_changes_the_pixels_but_not_the_anatomy(scans: list[Scan], version: int) -> None:
    (fine, labels), (coarse, coarse_labels) = scans[3], drawn(3, version, matrix=64)
    assert fine.spacing_mm[1] * 128 == coarse.spacing_mm[1] * 64
    inside, expected = coarse_labels > 0, labels.reshape(-1, 64, 2, 64, 2).clip(0, 1).mean((2, 4)) >= 0.5
    assert 2 * (inside & expected).sum() / (inside.sum() + expected.sum()) > 0.97


def test_files_are_found_as_lits(tmp_path: Path) -> None:
    made = cases(tmp_path, count=1, seed=SEED, matrix=32, tumour_fraction=0.012, workers=0)
    found = sources.lits(tmp_path, patients=None)
    assert made == [replace(case, patient_known=True) for case in found]


def save(root: Path, case: int, version: int) -> None:
    _save(root, case, seed=SEED, matrix=128, tumour_fraction=0.012, domain=AS_MEASURED, version=version)


@pytest.mark.parametrize("case", [0, *(pytest.param(case, marks=pytest.mark.slow) for case in range(1, 4))])
def test_files_read_as_rendered(tmp_path: Path, scans: list[Scan], version: int, case: int) -> None:
    save(tmp_path, case, version)
    volume, labels = scans[case]
    read = read_volume(tmp_path / f"volume-{case}.nii.gz")
    assert np.array_equal(read.hu, volume.hu)
    assert read.spacing_mm == pytest.approx(volume.spacing_mm)
    np.testing.assert_allclose(read.affine, volume.affine, atol=1e-3)
    assert np.array_equal(read_labels(tmp_path / f"segmentation-{case}.nii.gz", read), labels)


@pytest.mark.parametrize(("kind", "dtype"), [("volume", np.int16), ("segmentation", np.uint8)])
def test_nibabel_reads_whole_numbers_and_canonical_spacing(
    tmp_path: Path, scans: list[Scan], version: int, kind: str, dtype: type
) -> None:
    save(tmp_path, 5, version)
    image = nib.load(tmp_path / f"{kind}-5.nii.gz")
    expected = scans[5][0].hu if kind == "volume" else scans[5][1]
    assert image.get_data_dtype() == dtype
    assert np.array_equal(to_canonical(np.asarray(image.dataobj).transpose(2, 1, 0), image.affine), expected)
    i, j, k = (float(mm) for mm in image.header.get_zooms())
    assert canonical_spacing_mm((i, j, k), image.affine) == scans[5][0].spacing_mm


def test_orientation_spacing_and_field_of_view_vary(scans: list[Scan], version: int) -> None:
    volumes = [volume for volume, _ in scans]
    assert len({nib.aff2axcodes(volume.affine) for volume in volumes}) >= 3
    assert len({volume.spacing_mm[0] for volume in volumes}) >= 2
    assert {3 <= volume.spacing_mm[0] <= 5 for volume in volumes} == {True}
    fields_mm = [volume.spacing_mm[1] * 128 for volume in volumes]
    assert 320 < min(fields_mm) < max(fields_mm) - 20 < {1: 440, 2: 490}[version]


def test_labels_are_those_of_lits_and_one_case_in_eight_has_no_tumour(scans: list[Scan]) -> None:
    found = [set(np.unique(labels).tolist()) for _, labels in scans]
    assert sorted(map(len, found)) == [2] + [3] * 7
    assert set().union(*found) == set(LABELS.values())


def test_slices_extend_beyond_the_liver_at_both_ends(scans: list[Scan], version: int) -> None:
    for _, labels in scans:
        liver = np.flatnonzero(labels.any((1, 2)))
        least = {1: 2, 2: 1}[version]
        assert least <= liver[0]
        assert liver[-1] < len(labels) - least


def test_liver_is_one_piece_of_human_size_on_the_right(scans: list[Scan], version: int) -> None:
    for volume, labels in scans:
        pieces, _ = ndimage.label(labels > 0)
        sizes = np.bincount(pieces.ravel())[1:]
        assert sizes.max() > 0.995 * sizes.sum()
        least_cm3, most_cm3 = {1: (1200, 2300), 2: (800, 3000)}[version]
        assert least_cm3 < sizes.sum() * np.prod(volume.spacing_mm) / 1000 < most_cm3
        body = np.argwhere(volume.hu > -200).mean(0)
        assert np.argwhere(labels > 0).mean(0)[2] * volume.spacing_mm[2] < body[2] * volume.spacing_mm[2] - 30


def test_abdomen_holds_bone_fat_gas_lung_and_contrast(scans: list[Scan]) -> None:
    for volume, _ in scans:
        body = ndimage.binary_fill_holes((volume.hu > -250).any(0)) & np.ones_like(volume.hu, bool)
        hu = ndimage.gaussian_filter(volume.hu.astype(np.float32), (0, 1, 1))[body]
        for low, high, least in ((200, 3000, 0.01), (-130, -70, 0.1), (-1024, -700, 0.05), (40, 80, 0.08)):
            assert ((hu > low) & (hu < high)).mean() > least


def test_tumours_lie_in_the_liver(diseased: list[Scan]) -> None:
    for _, labels in diseased:
        tumour = labels == LABELS["tumour"]
        rim = ndimage.binary_dilation(tumour, np.ones((1, 3, 3))) & ~tumour
        assert (labels[rim] == LABELS["liver"]).mean() > 0.6


def test_tumours_have_the_sizes_of_real_ones(diseased: list[Scan]) -> None:
    fractions = []
    for volume, labels in diseased:
        pieces, count = ndimage.label(labels == LABELS["tumour"])
        largest_mm3 = np.bincount(pieces.ravel())[1:].max() * np.prod(volume.spacing_mm)
        assert count <= 25
        assert (6 * largest_mm3 / np.pi) ** (1 / 3) > 10
        fractions.append((labels == LABELS["tumour"]).sum() / (labels > 0).sum())
    assert 0.0005 < min(fractions) < max(fractions) < 0.33
    assert max(fractions) > 5 * min(fractions)


def test_liver_tumour_and_noise_lie_in_the_measured_ranges(diseased: list[Scan]) -> None:
    """Measured: liver 85 to 124 HU, tumour 29 to 73, contrast 30 to 60, noise 9 to 20; with a margin for blur."""
    for volume, labels in diseased:
        liver, tumour = (np.median(volume.hu[labels == LABELS[name]]) for name in ("liver", "tumour"))
        assert 83 <= liver <= 126
        assert 29 <= tumour <= 75
        assert 25 <= liver - tumour <= 65
        assert 8.5 <= _local_sd(volume.hu, labels) <= 20.5


def test_noise_is_correlated_between_neighbours(version: int) -> None:
    volume, labels = drawn(1, version, matrix=256)
    fine = volume.hu - ndimage.gaussian_filter(volume.hu.astype(np.float32), (0, 4, 4))
    liver = ndimage.binary_erosion(labels == LABELS["liver"], np.ones((1, 9, 9)))[..., :-1]
    assert 0.15 < np.corrcoef(fine[..., :-1][liver], fine[..., 1:][liver])[0, 1] < 0.65


@pytest.mark.parametrize(("name", "most"), [("liver", 0.6), ("tumour", 0.2)])
def test_no_pair_of_thresholds_segments_well(scans: list[Scan], name: str, most: float) -> None:
    cases_with = [(volume.hu, labels >= LABELS[name]) for volume, labels in scans if (labels >= LABELS[name]).any()]
    predicted = np.array([_between(hu) for hu, _ in cases_with])
    hits = np.array([_between(hu[truth]) for hu, truth in cases_with])
    size = np.array([truth.sum() for _, truth in cases_with])[:, None, None]
    assert (2 * hits / (predicted + size)).mean(0).max() <= most
    assert (2 * hits.sum(0) / (predicted + size).sum(0)).max() <= most


def test_an_interrupted_run_continues(tmp_path: Path) -> None:
    cases(tmp_path, count=2, seed=1, matrix=32, tumour_fraction=0.012, workers=0)
    whole = {file.name: file.read_bytes() for file in tmp_path.glob("*.nii.gz")}
    kept = (tmp_path / "volume-0.nii.gz").stat().st_mtime_ns
    (tmp_path / "volume-1.nii.gz").unlink()
    (tmp_path / ".volume-1.nii.gz.partial").write_bytes(b"half a file")
    cases(tmp_path, count=3, seed=1, matrix=32, tumour_fraction=0.012, workers=0)
    assert not list(tmp_path.glob(".*.partial"))
    assert {name: (tmp_path / name).read_bytes() for name in whole} == whole
    assert (tmp_path / "volume-0.nii.gz").stat().st_mtime_ns == kept
    assert len(list(tmp_path.glob("*.nii.gz"))) == 6


@pytest.mark.parametrize("other", [{"seed": 2}, {"matrix": 64}, {"version": 2}])
def test_a_folder_holds_one_phantom(tmp_path: Path, other: dict[str, int]) -> None:
    cases(tmp_path, count=1, seed=1, matrix=32, tumour_fraction=0.012, workers=0)
    with pytest.raises(LiverError, match=r"holds a phantom of .*'seed': 1.*choose another data\.root"):
        cases(tmp_path, **{"count": 1, "seed": 1, "matrix": 32, "tumour_fraction": 0.012, "workers": 0} | other)


def test_a_folder_of_real_scans_is_refused(tmp_path: Path) -> None:
    (tmp_path / "volume-0.nii").write_bytes(b"")
    with pytest.raises(LiverError, match=r"holds volume-0\.nii"):
        cases(tmp_path, count=1, seed=1, matrix=32, tumour_fraction=0.012, workers=0)
    assert not (tmp_path / "phantom.json").exists()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"count": 0}, r"data\.cases=0: expected a value greater than or equal to 1"),
        ({"count": 1001}, r"data\.cases=1001"),
        ({"matrix": 8}, r"data\.matrix=8"),
        ({"seed": -1}, r"data\.phantom_seed=-1"),
        ({"workers": -1}, r"data\.workers=-1"),
        ({"version": 0}, r"data\.phantom_version=0: expected a value greater than or equal to 1"),
        ({"version": 3}, r"data\.phantom_version=3: expected a value less than or equal to 2"),
    ],
)
def test_numbers_out_of_range_are_refused(tmp_path: Path, wrong: dict[str, int], message: str) -> None:
    with pytest.raises(LiverError, match=message):
        cases(tmp_path / "new", **{"count": 1, "seed": 0, "matrix": 32, "tumour_fraction": 0.012, "workers": 0} | wrong)
    assert not (tmp_path / "new").exists()


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LiverError, match=r"cannot be written .*choose another data\.root"):
        cases(tmp_path / "file", count=1, seed=0, matrix=32, tumour_fraction=0.012, workers=0)


def _local_sd(hu: np.ndarray, labels: np.ndarray) -> float:
    """Median standard deviation in 7x7 pixels of liver, in HU, as it was measured on real scans."""
    values = hu.astype(np.float32)
    mean, square = (ndimage.uniform_filter(field, (0, 7, 7)) for field in (values, values**2))
    inside = ndimage.binary_erosion(labels == LABELS["liver"], np.ones((1, 7, 7)))
    return float(np.median(np.sqrt(np.maximum(square - mean**2, 0))[inside]))


def _between(hu: np.ndarray) -> np.ndarray:
    """Count voxels from the i-th to below the j-th threshold, for thresholds 5 HU apart (i, j)."""
    below = np.searchsorted(np.sort(hu, axis=None), np.arange(-160, 245, 5))
    return np.maximum(below[None, :] - below[:, None], 0)
