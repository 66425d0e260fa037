"""Pairs of scans that are one, overlap, or are of one patient."""

import shutil
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from lightning_liver.audit.alignment import Alignment
from lightning_liver.audit.pair_text import copy_text, extents
from lightning_liver.audit.pairs import Pair, _linked, find_pairs
from lightning_liver.audit.same_scan import SpineScan
from lightning_liver.audit.spine import Spine
from lightning_liver.data.phantom.data_set import render
from lightning_liver.data.phantom.domain import Domain
from lightning_liver.data.prepare import prepare
from lightning_liver.data.sources import Case
from lightning_liver.data.store import HU_BINS, Store
from tests.conftest import write_scan

NO_MIRROR = Alignment.of_copies(40)


def store_of(root: Path, spacing_mm: float | None = 2.0) -> Store:
    """The store of all volumes of a folder, without patients."""
    names = sorted(path.name.removeprefix("volume-").split(".")[0] for path in root.glob("volume-*"))
    files = {name: next(root.glob(f"volume-{name}.*")) for name in names}
    masks = {name: next(root.glob(f"segmentation-{name}.*"), None) for name in names}
    cases = [Case(name=name, patient=name, volume=files[name], labels=masks[name]) for name in names]
    return prepare(cases, store=root / "store", spacing_mm=spacing_mm, workers=0, skip_bad=False)


def found(store: Store, others: Store | None = None) -> dict[tuple[str, str], str]:
    return {(pair.first, pair.second): pair.kind for pair in find_pairs(store, others=others, workers=0)}


def scan(store: Store, name: str, **changes: object) -> SpineScan:
    """A case whose record is changed."""
    record = replace(store.cases[name], **changes)
    return SpineScan(Store(store.folder, {name: record}), name, Spine(np.zeros((2, 40, 48), np.int8), np.zeros((2, 2))))


def test_scan_under_another_name_is_found_though_it_shows_no_spine(tmp_path: Path) -> None:
    for number in (1, 2):
        write_scan(tmp_path, number)
    shutil.copy(tmp_path / "volume-1.nii.gz", tmp_path / "volume-3.nii.gz")
    shutil.copy(tmp_path / "segmentation-1.nii.gz", tmp_path / "segmentation-3.nii.gz")
    pair = find_pairs(store_of(tmp_path), workers=0)[0]
    assert (pair.first, pair.second, pair.kind, pair.score) == ("1", "3", "same_scan", 1.0)
    assert pair.text == "the same scan, under another name"
    assert pair.finding().severity == "fix"
    assert pair.finding().cases == ("1", "3")
    assert pair.draw is not None
    picture = pair.draw()
    np.testing.assert_array_equal(picture[: len(picture) // 2], picture[len(picture) // 2 :])


def test_one_scan_has_no_pair(tmp_path: Path) -> None:
    write_scan(tmp_path, 1)
    assert find_pairs(store_of(tmp_path), workers=0) == []


def test_same_patient_is_for_the_user_to_decide() -> None:
    assert Pair("a", "b", "same_patient", 0.8, "").finding().severity == "look"


def test_copies_of_copies_are_linked() -> None:
    order = ["10", "9", "8", "7", "6"]
    pairs = [("9", "8"), ("10", "9"), ("7", "6")]
    assert _linked(pairs, order, within=True) == {("10", "9"), ("10", "8"), ("9", "8"), ("7", "6")}
    two_stores = [("a", "x"), ("b", "x"), ("b", "y")]
    assert _linked(two_stores, ["a", "b"], within=False) == {("a", "x"), ("a", "y"), ("b", "x"), ("b", "y")}


def test_text_names_flip_crop_spacing_and_window(scans: Path) -> None:
    store = store_of(scans)
    wide = np.zeros(HU_BINS, int)
    wide[100:500] = 100
    narrow = wide.copy()
    narrow[:231], narrow[307:] = 0, 0
    narrow[231] = narrow[306] = 1000
    whole = scan(store, "20", shape=(120, 40, 48), spacing_mm=(3.0, 2.0, 2.0), hu_counts=wide.tolist())
    part = scan(
        store,
        "21",
        shape=(40, 40, 48),
        spacing_mm=(3.0, 2.0, 2.0),
        native_spacing_mm=(3.0, 2.5, 2.5),
        hu_counts=narrow.tolist(),
    )
    flipped = replace(NO_MIRROR, shift=30.0, mirrored=True)
    assert copy_text(whole, part, flipped) == (
        "the same scan, flipped left to right, cropped to 40 of 120 slices, "
        "resampled from 3 x 1.5 x 1.5 mm to 3 x 2.5 x 2.5 mm, HU cut to [-100, 200]"
    )
    one, two = extents(whole, part, replace(NO_MIRROR, shift=100.0))
    assert (one.common, two.common) == (20, 20)
    assert min(one.beyond_mm, two.beyond_mm) > 50  # neither is a part of the other


@pytest.mark.slow
def test_phantoms_of_one_body_are_one_patient_and_of_two_are_not(tmp_path: Path) -> None:
    portal, native = Domain("portal"), Domain("native", (20, 28))
    for number, (case, domain) in enumerate([(0, portal), (0, native), (1, portal)]):
        options = {"seed": 0, "matrix": 96, "tumour_fraction": 0.012, "version": 2}
        volume, labels = render(case, **options, domain=domain)
        z, y, x = volume.spacing_mm
        for kind, voxels in (("volume", volume.hu), ("segmentation", labels)):
            image = nib.Nifti1Image(voxels.transpose(2, 1, 0), np.diag([-x, -y, z, 1]))
            nib.save(image, tmp_path / f"{kind}-{number}.nii")
    assert found(store_of(tmp_path)) == {("0", "1"): "same_patient"}


@pytest.fixture(scope="session")
def lits(real_scans: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Links to the scans of LiTS."""
    root = tmp_path_factory.mktemp("lits")
    for path in (real_scans / "lits").glob("*.nii.gz"):
        (root / path.name).symlink_to(path)
    return root


@pytest.mark.real
@pytest.mark.slow
def test_lits_has_two_patients_with_more_than_one_scan(lits: Path) -> None:
    known = [("0", "1"), ("6", "7"), ("6", "8"), ("7", "8")]
    assert found(store_of(lits)) == dict.fromkeys(known, "same_patient")


@pytest.mark.real
@pytest.mark.slow
def test_changed_scans_are_found_as_the_same(lits: Path, tmp_path: Path) -> None:
    image = nib.load(lits / "volume-2.nii.gz")
    voxels, affine = np.asarray(image.dataobj).astype(np.int16), image.affine
    thin = np.diag([2, 2, 2, 1]).astype(float)
    changed = {
        "crop": (voxels[:, :, 40:90], affine),
        "coarse": (voxels[::2, ::2, ::2], affine @ thin),
        "window": (voxels.clip(-100, 200), affine),
        "flip": (voxels[::-1], affine),
        "lower": (voxels[:, :, :85], affine),
        "upper": (voxels[:, :, 45:], affine),
    }
    for name, (some, where) in changed.items():
        nib.save(nib.Nifti1Image(some, where), tmp_path / f"volume-{name}.nii")
        labels = np.zeros(some.shape, np.uint8)
        labels[20:40, 20:40, 5:9] = 1
        nib.save(nib.Nifti1Image(labels, where), tmp_path / f"segmentation-{name}.nii")
    copies, whole = store_of(tmp_path), store_of(lits)
    assert found(whole, copies) == {("2", name): "same_scan" for name in changed}
    assert found(copies)["lower", "upper"] == "overlap"
