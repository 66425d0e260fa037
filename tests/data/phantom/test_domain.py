"""Phantoms of another domain have the same patients; without options nothing changes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from lightning_liver.data.phantom.data_set import cases, render
from lightning_liver.data.phantom.domain import NOISE_HU, PHASE_PROBABILITIES, PHASES, Domain
from lightning_liver.errors import LiverError
from lightning_liver.volume import LABELS, Volume

SHIFTED = Domain("native", [22, 32], 7.5)
Scan = tuple[Volume, np.ndarray]


@pytest.fixture(params=[pytest.param(1, marks=pytest.mark.slow), 2])
def version(request: pytest.FixtureRequest) -> int:
    return request.param


def seen(case: int, domain: Domain, version: int = 1) -> Scan:
    return render(case, seed=0, matrix=64, tumour_fraction=0.012, domain=domain, version=version)


def equal(first: Scan, second: Scan) -> bool:
    (a, labels), (b, others) = first, second
    return np.array_equal(a.hu, b.hu) and np.array_equal(labels, others) and np.array_equal(a.affine, b.affine)


def median_hu(scan: Scan, name: str) -> float:
    return float(np.median(scan[0].hu[scan[1] == LABELS[name]]))


@pytest.mark.parametrize(
    ("case", "slice_mm", "pixel_mm", "mean_hu", "liver", "tumour"),
    [
        (0, 5.0, 5.453125, -480.829, 8618, 294),
        (1, 4.0, 6.55859375, -552.432, 10887, 125),
        (2, 5.0, 5.28515625, -444.080, 10061, 69),
        (3, 5.0, 5.9140625, -517.826, 10443, 23),
        (4, 4.0, 6.19921875, -513.799, 10466, 125),
    ],
)
def test_version_1_draws_as_before_there_was_another(
    case: int, slice_mm: float, pixel_mm: float, mean_hu: float, liver: int, tumour: int
) -> None:
    """Figures from before options and versions existed; small tolerances, since processors round differently."""
    volume, labels = seen(case, Domain())
    assert volume.spacing_mm == (slice_mm, pixel_mm, pixel_mm)
    assert volume.hu.mean() == pytest.approx(mean_hu, abs=0.02)
    assert (labels == LABELS["liver"]).sum() == pytest.approx(liver, abs=3)
    assert (labels == LABELS["tumour"]).sum() == pytest.approx(tumour, abs=3)


@pytest.mark.slow
@pytest.mark.parametrize("case", range(3))
def test_an_option_set_to_the_drawn_value_changes_no_bit(case: int, version: int) -> None:
    plain = seen(case, Domain(), version)
    assert equal(plain, seen(case, Domain(noise_hu=NOISE_HU), version))
    assert equal(plain, seen(case, Domain(slice_mm=plain[0].spacing_mm[0]), version))
    assert sum(equal(plain, seen(case, Domain(phase=phase), version)) for phase in PHASE_PROBABILITIES) == 1


def test_the_patient_is_the_same_in_every_domain(version: int) -> None:
    plain, native = (seen(1, domain, version) for domain in (Domain(), Domain(phase="native", noise_hu=[22, 32])))
    assert np.array_equal(plain[1], native[1])
    assert plain[0].spacing_mm == native[0].spacing_mm
    thick = seen(1, SHIFTED, version)
    for label in LABELS.values():
        volumes = [(labels == label).sum() * np.prod(volume.spacing_mm) for volume, labels in (plain, thick)]
        assert volumes[0] == pytest.approx(volumes[1], rel=0.1 if label != LABELS["tumour"] else 0.35)


@pytest.mark.parametrize("case", [0, *(pytest.param(case, marks=pytest.mark.slow) for case in (1, 2, 3))])
def test_native_is_darker_and_keeps_some_contrast(case: int) -> None:
    plain, native = (seen(case, Domain(phase=phase, noise_hu=[1, 1], slice_mm=3)) for phase in ("portal", "native"))
    contrast = [median_hu(scan, "liver") - median_hu(scan, "tumour") for scan in (plain, native)]
    assert 46 < median_hu(native, "liver") < 68 < median_hu(plain, "liver") - 10
    assert 10 < contrast[1] < 40
    assert contrast[1] < contrast[0] - 5


def test_native_vessels_are_darker_than_the_liver_and_enhanced_ones_brighter() -> None:
    for name, phase in PHASES.items():
        liver, artery, vein = (np.mean([ends[i] for ends in phase[:2]]) for i in (0, 2, 3))
        assert (max(artery, vein) < liver) == (name == "native")
        assert (min(artery, vein) > liver) == (name != "native")


@pytest.mark.parametrize("sd_hu", [5.0, 28.0])
def test_noise_has_the_requested_strength(sd_hu: float) -> None:
    """Noise is stronger in the centre: by 1.1 in the middle of the slice, by less in the liver."""
    domain = Domain(phase="portal", noise_hu=[sd_hu, sd_hu])
    noisy, quiet = (seen(0, Domain("portal", noise, 5.0)) for noise in (domain.noise_hu, [1, 1]))
    deep = ndimage.binary_erosion(noisy[1] == LABELS["liver"], np.ones((1, 5, 5)))
    difference = noisy[0].hu[deep].astype(float) - quiet[0].hu[deep]
    assert (sd_hu - 1) * 0.85 < difference.std() < (sd_hu - 1) * 1.15


@pytest.mark.parametrize("slice_mm", [pytest.param(1.3, marks=pytest.mark.slow), 7.5, 8])
def test_slices_have_the_requested_distance(slice_mm: float) -> None:
    (volume, labels), (plain, _) = seen(0, Domain(slice_mm=slice_mm)), seen(0, Domain())
    assert volume.spacing_mm == (float(np.float32(slice_mm)), *plain.spacing_mm[1:])
    assert len(volume.hu) * slice_mm == pytest.approx(len(plain.hu) * plain.spacing_mm[0], abs=8)
    assert labels[0].max() == labels[-1].max() == 0


def test_a_folder_holds_one_domain(tmp_path: Path) -> None:
    plain: dict[str, Any] = {"count": 1, "seed": 1, "matrix": 32, "tumour_fraction": 0.012, "workers": 0}
    shifted = {"phase": "native", "noise_hu": (22, 32.0), "slice_mm": 7.5}
    for folder, options in (("plain", {}), ("shifted", shifted)):
        cases(tmp_path / folder, **plain | options)
        cases(tmp_path / folder, **plain | options)
    marker = (tmp_path / "plain" / "phantom.json").read_text()
    assert marker == '{"seed": 1, "matrix": 32, "tumour_fraction": 0.012, "version": 2}', (
        "folders of earlier versions stay valid"
    )
    with pytest.raises(LiverError, match=r"holds a phantom of .*'native'.*choose another data\.root"):
        cases(tmp_path / "shifted", **plain)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"phase": "venous"}, r"data\.phase='venous': expected 'arterial', 'portal', 'late' or 'native'"),
        ({"phase": ["late"]}, r"data\.phase=\['late'\]: expected 'arterial'"),
        ({"noise_hu": 20}, r"data\.noise_hu=20: expected a list of values, as in \[1,2\]"),
        ({"noise_hu": [32, 22]}, r"data\.noise_hu=\[32, 22\]: expected the lowest, then the highest .* in HU"),
        ({"noise_hu": [0, 22]}, r"data\.noise_hu\.0=0: expected a value greater than or equal to 1"),
        ({"noise_hu": [5, 201]}, r"data\.noise_hu\.1=201: expected a value less than or equal to 200"),
        ({"noise_hu": [1, 2, 3]}, r"data\.noise_hu=\[1, 2, 3\]: expected 2 values, not 3"),
        ({"noise_hu": [1]}, r"data\.noise_hu\.1: expected a value; none is given"),
        ({"noise_hu": ["a", "b"]}, r"data\.noise_hu\.0='a': expected a valid number"),
        ({"noise_hu": [5, float("nan")]}, r"data\.noise_hu\.1=nan: expected a value"),
        ({"slice_mm": 0}, r"data\.slice_mm=0: expected a value greater than or equal to 0\.5"),
        ({"slice_mm": 21}, r"data\.slice_mm=21: expected a value less than or equal to 20"),
        ({"slice_mm": True}, r"data\.slice_mm=True: expected a valid number"),
        ({"slice_mm": "thick"}, r"data\.slice_mm='thick': expected a valid number"),
        ({"slice_mm": float("nan")}, r"data\.slice_mm=nan"),
    ],
)
def test_invalid_options_are_refused_by_name(tmp_path: Path, wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(LiverError, match=message):
        cases(tmp_path / "new", count=1, seed=0, matrix=32, tumour_fraction=0.012, workers=0, **wrong)
    assert not (tmp_path / "new").exists()
