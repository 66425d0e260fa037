"""Fingerprints of scans: what was done to their HU, their contrast phase, and those unlike the others."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from numpy.random import default_rng

from lightning_liver.audit.fingerprint import CaseFingerprint, fingerprint_of, phase_of
from lightning_liver.audit.unlike_scans import (
    MEASURES,
    cut_findings,
    intensity_findings,
    outlier_findings,
    outliers,
    phase_findings,
)
from lightning_liver.data.phantom.data_set import render
from lightning_liver.data.phantom.domain import Domain
from lightning_liver.data.prepare import prepare
from lightning_liver.data.sources import Case
from lightning_liver.imageio.nifti import read_middle_plane, write_labels, write_volume
from lightning_liver.volume import Volume

PLAIN = CaseFingerprint(
    case="0",
    slice_mm=1.0,
    pixel_mm=0.7,
    rows=512,
    slices=100,
    coverage_mm=100.0,
    field_mm=358.4,
    lowest_hu=-1024,
    highest_hu=1500,
    cut_low=False,
    cut_high=False,
    step_hu=1.0,
    noise_hu=12.0,
    liver_hu=105.0,
    aorta_hu=150.0,
    phase="portal",
    liver_ml=1500.0,
    tumours=1,
    tumour_ml=10.0,
    largest_mm=20.0,
    tumour_hu=60.0,
    contrast_hu=-45.0,
    cut_liver=None,
)


def scans(**values: list[object]) -> list[CaseFingerprint]:
    """Scans that differ in some fields alone."""
    [(name, of)] = values.items()
    return [replace(PLAIN, case=str(n), **{name: value}) for n, value in enumerate(of)]


def burnt(low: float, high: float, levels: int | None = None) -> Callable[[np.ndarray], np.ndarray]:
    """A window burnt into HU, through a picture of so many grey levels."""

    def change(hu: np.ndarray) -> np.ndarray:
        cut = np.clip(hu, low, high)
        steps = high - low if levels is None else levels - 1
        return np.rint(np.rint((cut - low) / (high - low) * steps) / steps * (high - low) + low)

    return change


@pytest.fixture(scope="module")
def drawn() -> tuple[Volume, np.ndarray]:
    """Two slabs of noise over all soft tissue, air and bone, with a box of liver: 128 pixels a side."""
    rng = default_rng(0)
    hu = rng.uniform(-220, 320, (3, 128, 128))
    hu[:, :20], hu[:, 20:22] = -1000, 1400 * rng.random((3, 2, 128))
    labels = np.zeros(hu.shape, np.uint8)
    labels[:, 40:90, 40:90] = 1
    hu[labels == 1] = rng.normal(100, 12, np.count_nonzero(labels))
    return Volume(np.rint(hu).astype(np.int16), (3.0, 2.0, 2.0), np.diag([-2.0, -2.0, 3.0, 1.0])), labels


@pytest.mark.parametrize(
    ("change", "kinds"),
    [
        (lambda hu: hu, []),
        (burnt(-100, 200), ["window"]),
        (burnt(-160, 240, levels=256), ["window", "steps"]),
        (burnt(-1000, 1000, levels=256), ["steps"]),
        (lambda hu: burnt(-160, 240, levels=256)(hu) / 400 * 255 + 102, ["no_hu"]),
    ],
    ids=["as it was", "a window", "8 bits of a window", "8 bits", "a picture"],
)
@pytest.mark.filterwarnings("ignore::lightning_liver.errors.LiverWarning")
def test_what_was_done_to_hu_is_told_from_the_scan(
    tmp_path: Path, drawn: tuple[Volume, np.ndarray], change: Callable[[np.ndarray], np.ndarray], kinds: list[str]
) -> None:
    volume, labels = drawn
    changed = np.rint(change(volume.hu.astype(float))).astype(np.int16)
    ct, mask = tmp_path / "volume-0.nii.gz", tmp_path / "segmentation-0.nii.gz"
    write_volume(ct, replace(volume, hu=changed))
    write_labels(mask, labels, volume.affine)
    store = prepare([Case("0", "0", ct, mask)], store=tmp_path / "store", spacing_mm=2.0, workers=0, skip_bad=False)
    found = fingerprint_of(store, "0")
    assert [finding.kind for finding in intensity_findings([found])] == kinds
    assert found.cut_liver == "feet and head"
    assert found.slice_mm == 3
    assert found.field_mm == 256
    if not kinds:
        assert found.liver_hu == pytest.approx(100, abs=2)
        assert found.noise_hu == pytest.approx(12, rel=0.1)


@pytest.mark.parametrize(
    "phase",
    [
        "arterial",
        pytest.param("portal", marks=pytest.mark.slow),
        "late",
        pytest.param("native", marks=pytest.mark.slow),
    ],
)
def test_contrast_phase_of_a_phantom_is_told(tmp_path: Path, phase: str) -> None:
    volume, labels = render(1, seed=3, matrix=96, tumour_fraction=0.012, version=2, domain=Domain(phase))
    ct, mask = tmp_path / "volume-0.nii", tmp_path / "segmentation-0.nii"
    write_volume(ct, volume)
    write_labels(mask, labels, volume.affine)
    store = prepare([Case("0", "0", ct, mask)], store=tmp_path / "store", spacing_mm=None, workers=0, skip_bad=False)
    found = fingerprint_of(store, "0")
    assert found.phase == phase
    assert found.liver_ml == pytest.approx(np.count_nonzero(labels) * np.prod(volume.spacing_mm) / 1000)
    assert found.contrast_hu is not None
    assert found.contrast_hu < 0


def test_phase_is_not_told_without_a_bright_aorta_beside_a_bright_liver() -> None:
    assert phase_of(100, None) is None
    assert phase_of(None, None) is None
    assert phase_of(55, None) == "native"
    assert phase_of(55, 110) is None, "fat, or something that is no aorta"
    assert phase_of(None, 260) == "arterial"


def test_a_scan_far_from_the_others_is_named_and_a_small_difference_is_not() -> None:
    findings = outlier_findings(scans(slice_mm=[1.0] * 9 + [5.0]))
    assert [finding.cases for finding in findings] == [("9",)]
    assert "slice distance is 5.00 mm, the median 1.00 mm" in findings[0].text
    assert not outlier_findings(scans(slice_mm=[1.0] * 9 + [1.2])), "though all others are equal"
    assert not outlier_findings(scans(slice_mm=[1.0] * 4 + [5.0])), "five scans are too few"


def test_outliers_of_skewed_measures_are_told_by_ratios() -> None:
    measure = next(each for each in MEASURES if each.name == "tumour_ml")
    values: list[object] = [*np.geomspace(1, 100, 12).tolist(), 0.0]
    assert not outliers(scans(tumour_ml=values), measure)
    [found] = outliers(scans(tumour_ml=[*values, 1e5]), measure)
    assert found.case == "13"
    assert found.z > 3.5


def test_a_single_phase_among_another_is_named_and_a_mixture_is_not() -> None:
    [finding] = phase_findings(scans(phase=["portal"] * 9 + ["native"]))
    assert finding.cases == ("9",)
    assert "9 of 10 scans are portal" in finding.text
    assert not phase_findings(scans(phase=["portal"] * 6 + ["arterial"] * 4))


def test_damage_that_only_some_scans_have_says_so() -> None:
    [finding] = intensity_findings(scans(step_hu=[1.0, 1.57, 1.57]))
    assert finding.cases == ("1", "2")
    assert finding.text.startswith("2 of 3 scans: HU in steps of about 1.6")
    [whole] = intensity_findings(scans(step_hu=[1.57] * 3))
    assert whole.text.startswith("All scans")


def test_slice_of_a_liver_that_is_not_whole_is_where_it_is_cut() -> None:
    assert [finding.z for finding in cut_findings(scans(cut_liver=["feet", "head", None]))] == [0, 99]


def test_nibabel_reads_the_middle_plane_alike(tmp_path: Path) -> None:
    voxels = default_rng(0).integers(-100, 100, (5, 6, 7)).astype(np.int16)
    image = nib.Nifti1Image(voxels, np.eye(4))
    image.header.set_slope_inter(0.5, 3)
    nib.save(image, tmp_path / "scan.nii.gz")
    plane = np.asanyarray(nib.load(tmp_path / "scan.nii.gz").dataobj)[:, :, 3]
    np.testing.assert_allclose(np.sort(read_middle_plane(tmp_path / "scan.nii.gz")), np.sort(plane.ravel()))
