"""Every row of the table in evaluation/README.md, and input that is refused."""

import math
import subprocess
import sys
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from nibabel.affines import apply_affine
from nibabel.orientations import axcodes2ornt

from lightning_liver.errors import LiverError
from lightning_liver.metrics import lesions as lesions_module
from lightning_liver.metrics.aggregate import data_set_figures
from lightning_liver.metrics.case_score import CaseScore, score_case
from lightning_liver.metrics.components import LPS, components
from lightning_liver.metrics.lesion_matching import overlaps
from lightning_liver.metrics.mask_score import MaskScore, score_mask
from lightning_liver.volume import canonical_spacing_mm, to_canonical

SHAPE = (4, 6, 8)
SPACING_MM = (2.0, 1.0, 0.5)
MODES = ("official", "corrected")
volumes = hnp.arrays(np.uint8, SHAPE, elements=st.integers(0, 2))
few = settings(max_examples=30)

EMPTY, LIVER, TUMOUR, BOTH = (np.zeros(SHAPE, np.uint8) for _ in range(4))
LIVER[1:3, 1:5, 1:7] = 1
TUMOUR[1:3, 2:4, 2:4] = 2
BOTH[:] = np.maximum(LIVER, TUMOUR)


def score(truth: np.ndarray, prediction: np.ndarray, mode: str, **given: Any) -> CaseScore:
    options: dict[str, Any] = {"spacing_mm": SPACING_MM, "tolerance_mm": 1.0} | given
    return score_case(truth, prediction, mode=mode, **options)


def metrics(mask: MaskScore, *names: str) -> tuple[float | None, ...]:
    return tuple(mask.metrics[name] for name in names)


def figures(truth: np.ndarray, prediction: np.ndarray, mode: str) -> dict[str, float | None]:
    return data_set_figures([score(truth, prediction, mode)], "t")


@pytest.mark.parametrize(("mode", "dice", "voe"), [("official", 0, 1), ("corrected", 1, 0)])
def test_no_liver_in_truth_and_prediction(mode: str, dice: float, voe: float) -> None:
    liver = score(EMPTY, EMPTY, mode).structures["liver"]
    assert metrics(liver, "dice", "voe", "rvd", "assd_mm", "surface_dice") == (dice, voe, None, None, dice)


@pytest.mark.parametrize("mode", MODES)
def test_no_tumour_in_truth_and_prediction(mode: str) -> None:
    tumour = score(LIVER, LIVER, mode).structures["tumour"]
    assert metrics(tumour, "dice", "jaccard", "voe", "rvd", "surface_dice") == (1, 1, 0, None, 1)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("structure", ["liver", "tumour"])
def test_truth_empty(mode: str, structure: str) -> None:
    mask = score(EMPTY, BOTH, mode).structures[structure]
    assert metrics(mask, "dice", "voe", "rvd", "assd_mm", "surface_dice") == (0, 1, None, None, 0)


@pytest.mark.parametrize(("mode", "rvd"), [("official", None), ("corrected", -1)])
@pytest.mark.parametrize("structure", ["liver", "tumour"])
def test_prediction_empty(mode: str, rvd: float | None, structure: str) -> None:
    mask = score(BOTH, EMPTY, mode).structures[structure]
    assert metrics(mask, "dice", "voe", "rvd", "hd95_mm", "surface_dice") == (0, 1, rvd, None, 0)


def test_a_liver_without_label_1_is_empty_for_the_official_scorer() -> None:
    assert score(BOTH, TUMOUR, "official").structures["liver"].predicted_voxels == 0
    assert score(BOTH, TUMOUR, "corrected").structures["liver"].predicted_voxels == 8
    assert score(BOTH, TUMOUR, "official").structures["tumour"].metrics["dice"] == 1


def test_an_undefined_distance_of_a_liver_counts_9001_in_the_official_mean_alone() -> None:
    for mode, mean, rvd in (("official", 9001 / 2, 9001 / 2), ("corrected", 0, -1 / 2)):
        scores = [score(BOTH, BOTH, mode), score(BOTH, EMPTY, mode)]
        together = data_set_figures(scores, "t")
        assert (together["t/liver/assd_mm"], together["t/liver/rvd"]) == (mean, rvd)
        assert together["t/tumour/assd_mm"] == 0


def test_rvd_has_opposite_signs() -> None:
    more = BOTH.copy()
    more[3, 1:5, 1:7] = 1
    assert score(BOTH, more, "corrected").structures["liver"].metrics["rvd"] == 24 / 48
    assert score(BOTH, more, "official").structures["liver"].metrics["rvd"] == -24 / 72


def test_ratios_without_lesions() -> None:
    for mode, nothing in (("official", 0), ("corrected", None)):
        healthy = figures(LIVER, LIVER, mode)
        assert [healthy[f"t/lesion/{name}"] for name in ("precision_0", "recall_0", "f1_50")] == [nothing] * 3
        invented = figures(LIVER, BOTH, mode)
        assert (invented["t/lesion/precision_0"], invented["t/lesion/recall_0"]) == (0, nothing)


def test_figures_without_a_detected_lesion() -> None:
    official, corrected = (figures(BOTH, LIVER, mode) for mode in MODES)
    for name, default in (("dice", 0), ("voe", 1), ("rvd", 9001), ("assd_mm", 9001), ("mssd_mm", 9001)):
        assert (official[f"t/lesion/{name}"], corrected[f"t/lesion/{name}"]) == (default, None)


def test_dice_global_of_empty_masks() -> None:
    assert figures(LIVER, LIVER, "official")["t/tumour/dice_global"] == 0
    assert figures(LIVER, LIVER, "corrected")["t/tumour/dice_global"] == 1


def test_burden_without_a_liver() -> None:
    burden = {
        (mode, name): score(*pair, mode).burden_error
        for mode in MODES
        for name, pair in (("both", (BOTH, BOTH)), ("none predicted", (BOTH, EMPTY)), ("none true", (EMPTY, BOTH)))
    }
    assert burden["official", "both"] == burden["corrected", "both"] == 0
    assert burden["official", "none predicted"] == 8 / 48 - 9001
    assert burden["official", "none true"] is None
    assert (burden["corrected", "none predicted"], burden["corrected", "none true"]) == (8 / 48, -8 / 48)


def test_maximum_burden_is_signed_in_the_official_mode_alone() -> None:
    for mode, maximum in (("official", 0), ("corrected", 8 / 48)):
        scores = [score(LIVER, BOTH, mode), score(LIVER, LIVER, mode)]
        assert data_set_figures(scores, "t")["t/burden/maximum"] == maximum


@few
@given(truth=volumes, prediction=volumes, axes=st.sets(st.integers(0, 2)), mode=st.sampled_from(MODES))
def test_structures_do_not_change_with_flips_and_padding(
    truth: np.ndarray, prediction: np.ndarray, axes: set[int], mode: str
) -> None:
    moved = [np.pad(np.flip(labels, tuple(axes)), 2) for labels in (truth, prediction)]
    for name, mask in score(truth, prediction, mode).structures.items():
        assert score(*moved, mode).structures[name].row() == pytest.approx(mask.row())


@few
@given(truth=volumes, prediction=volumes)
def test_volumes_grow_with_the_voxel_and_ratios_do_not(truth: np.ndarray, prediction: np.ndarray) -> None:
    small, large = (
        score(truth, prediction, "corrected", spacing_mm=tuple(f * mm for mm in SPACING_MM)) for f in (1, 2)
    )
    for name, mask in small.structures.items():
        other = large.structures[name]
        assert (other.true_ml, other.predicted_ml) == pytest.approx((8 * mask.true_ml, 8 * mask.predicted_ml))
        assert metrics(other, "dice", "voe", "rvd") == metrics(mask, "dice", "voe", "rvd")
    assert mask.true_ml == pytest.approx(mask.true_voxels / 1000)
    for one, two in zip(small.lesions.lesions, large.lesions.lesions, strict=True):
        assert two.diameter_mm == pytest.approx(2 * one.diameter_mm)


def test_lesions_have_size_overlap_and_detection() -> None:
    shifted = LIVER.copy()
    shifted[1:3, 2:4, 3:5] = 2
    shifted[0, 0, 0] = 2
    true, speck, hit = score(BOTH, shifted, "corrected").lesions.lesions
    assert (true.kind, true.number, true.volume_ml, true.overlap) == ("reference", 1, 0.008, 4 / 12)
    assert true.diameter_mm == pytest.approx(np.hypot(2, 1))
    assert dict(true.detected) == dict(hit.detected) == {"0": True, "50": False}
    assert (speck.kind, speck.overlap, dict(speck.detected)) == ("predicted", 0, {"0": False, "50": False})


def test_foreign_labels_and_modes_are_refused() -> None:
    with pytest.raises(LiverError, match="the prediction has label 3"):
        score(BOTH, np.full(SHAPE, 3, np.uint8), "official")
    with pytest.raises(LiverError, match="mode='strict': expected one of official, corrected"):
        score(BOTH, BOTH, "strict")
    with pytest.raises(LiverError, match=r"spacing_mm=.* expected three positive numbers"):
        score(BOTH, BOTH, "official", spacing_mm=(1.0, 0.0, 1.0))


@pytest.mark.usefixtures("unchecked")
def test_unequal_shapes_are_refused() -> None:
    with pytest.raises(LiverError, match=r"the truth has \(4, 6, 8\) voxels .* the prediction \(4, 6, 7\)"):
        score(BOTH, BOTH[:, :, :7], "official")


@pytest.mark.parametrize("codes", [("L", "P", "S"), ("R", "A", "S"), ("P", "I", "R")])
def test_a_lesion_has_its_slice_and_its_place_in_the_files_millimetres(codes: tuple[str, str, str]) -> None:
    stored_mm, stored = (1.5, 2.0, 3.0), np.zeros((20, 24, 28), np.uint8)
    affine = np.diag((0.0, 0.0, 0.0, 1.0))
    for n, (axis, direction) in enumerate(axcodes2ornt(codes)):
        affine[int(axis), n] = direction * stored_mm[n]
    affine[:3, 3] = (10, -20, 30)
    stored[3:6, 10:15, 20:24] = 2
    canonical = np.ascontiguousarray(to_canonical(stored.transpose(2, 1, 0), affine))
    spacing_mm = canonical_spacing_mm(stored_mm, affine)
    (lesion, _) = score(canonical, canonical, "corrected", spacing_mm=spacing_mm, affine=affine).lesions.lesions
    np.testing.assert_allclose(lesion.centroid_ras_mm, apply_affine(affine, (4, 12, 21.5)))
    axial = next(n for n, code in enumerate(codes) if code in "SI")
    assert lesion.slice_index in ((3, 5), (10, 14), (20, 23))[axial]  # all slices are equal: an end of them


def specks(count: int) -> np.ndarray:
    """Label map of a liver with tumours of one voxel each."""
    side = math.ceil(count ** (1 / 3))
    labels = np.ones((2 * side, 2 * side, 2 * side), np.uint8)
    places = np.argwhere(np.ones((side, side, side), bool))[:count] * 2
    labels[tuple(places.T)] = 2
    return labels


@pytest.mark.parametrize("mode", MODES)
def test_specks_of_equal_form_are_scored_once(monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    labels, scored = specks(200), []
    monkeypatch.setattr(lesions_module, "score_mask", lambda masks: scored.append(masks) or score_mask(masks))
    score = score_case(labels, labels, spacing_mm=SPACING_MM, mode=mode, tolerance_mm=2.0)
    assert score.lesions.detections["50"].tp == len(score.lesions.found) == 200
    assert {found.metrics["dice"] for found in score.lesions.found} == {1.0}
    assert len(scored) == 1


def test_memory_does_not_grow_with_the_square_of_lesions() -> None:
    """A full table of 10,000 predicted by 10,000 true lesions has 800 MB."""
    labels = specks(10_000)
    parts = components(labels == 2, LPS)
    tracemalloc.start()
    assert overlaps(parts, parts, labels.shape).shared.sum() == 10_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_a_hundred_thousand_specks_take_less_than_thirty_seconds_and_two_gigabytes(mode: str) -> None:
    """In a process of its own, as types are checked at every call in tests."""
    code = f"""
import resource
from lightning_liver.metrics.case_score import score_case
from tests.metrics.test_case_score import specks
labels = specks(100_000)
score = score_case(labels, labels, spacing_mm=(2.0, 0.8, 0.8), mode="{mode}", tolerance_mm=2.0)
assert score.lesions.detections["50"].tp == 100_000
assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 2e6
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=40)  # of which 10 to import the tests
