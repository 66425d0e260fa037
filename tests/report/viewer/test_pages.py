"""Answers of the viewer: volumes that another NIfTI reader understands, and the list of cases."""

import gzip
import json
from functools import partial

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lightning_liver.data.store import Store
from lightning_liver.errors import LiverError
from lightning_liver.report.mistakes import count_mistakes, mistakes
from lightning_liver.report.viewer import pages
from lightning_liver.report.viewer.pages import BUNDLE, routes
from lightning_liver.report.viewer.run_cases import run_cases
from lightning_liver.report.viewer.server import Answer, Routes
from tests.report.viewer.conftest import moved, stacked

CASES = ("20", "23")


@pytest.fixture
def served(store: Store, monkeypatch: pytest.MonkeyPatch) -> Routes:
    monkeypatch.setattr(pages, "_PAGE", {path: page for path, page in pages._PAGE.items() if BUNDLE not in page})
    scores = [{"case": "20", "structure": "liver", "dice": "0.5"}, {"case": "20", "structure": "tumour", "dice": ""}]
    predict = partial(moved, store)
    return routes(run_cases(store, CASES, predict, run="focal", first="23", window_hu=(-160.0, 240.0), scores=scores))


def body(answer: Answer) -> bytes:
    sent = b"".join(answer.parts)
    assert len(sent) == answer.length
    return sent


def image(answer: Answer) -> nib.Nifti1Image:
    sent = body(answer)
    return nib.Nifti1Image.from_bytes(gzip.decompress(sent) if sent[:2] == b"\x1f\x8b" else sent)


def test_scan_is_the_hu_of_the_store_in_nifti_orientation(served: Routes, store: Store) -> None:
    scan = image(served["/case/1/scan.nii"]())
    assert nib.aff2axcodes(scan.affine) == ("L", "P", "S")
    assert scan.header.get_zooms() == pytest.approx(store.cases["23"].spacing_mm[::-1])
    np.testing.assert_array_equal(np.asarray(scan.dataobj).transpose(2, 1, 0), stacked(store, "23", "hu"))
    middle = (np.array(scan.shape) - 1) / 2
    np.testing.assert_allclose(nib.affines.apply_affine(scan.affine, middle), 0, atol=1e-4)


def test_masks_have_the_grid_of_the_scan(served: Routes, store: Store) -> None:
    scan = image(served["/case/0/scan.nii"]())
    known = {"truth": stacked(store, "20", "labels"), "prediction": moved(store, "20")}
    for name, labels in known.items():
        mask = image(served[f"/case/0/{name}.nii.gz"]())
        np.testing.assert_array_equal(mask.affine, scan.affine)
        np.testing.assert_array_equal(np.asarray(mask.dataobj).transpose(2, 1, 0), labels)
    error = np.asarray(image(served["/case/0/error.nii.gz"]()).dataobj).transpose(2, 1, 0)
    np.testing.assert_array_equal(error > 0, known["truth"] != known["prediction"])


labels = arrays(np.uint8, (2, 3, 4), elements=st.integers(0, 2))


@given(labels, labels)
def test_mistakes_are_false_positives_or_negatives_of_liver_or_tumour(
    prediction: np.ndarray, truth: np.ndarray
) -> None:
    kinds = {(0, 1): 1, (1, 0): 2, (0, 2): 3, (1, 2): 3, (2, 0): 4, (2, 1): 4}  # by true and predicted label
    wrong = mistakes(truth, prediction)
    for index in np.ndindex(truth.shape):
        assert wrong[index] == kinds.get((int(truth[index]), int(prediction[index])), 0)
    assert (wrong > 0).sum(axis=(1, 2)).tolist() == count_mistakes(truth, prediction)


def test_tumours_are_listed_with_their_place_on_the_stores_grid(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    record = store.cases["20"]
    truth = np.asarray(nib.load(record.labels).dataobj) == 2
    indices = np.argwhere(truth).mean(axis=0)  # i, j, k of the file
    x_mm, y_mm, z_mm = nib.affines.apply_affine(np.array(record.affine), indices)
    line = {"case": "20", "kind": "reference", "lesion": "1", "diameter_mm": "9", "detected_0": "1"}
    where = {"x_ras_mm": str(x_mm), "y_ras_mm": str(y_mm), "z_ras_mm": str(z_mm)}
    monkeypatch.setattr(pages, "_PAGE", {})
    lesions, predict = [line | where, line], partial(moved, store)
    shown = {"run": "r", "first": "20", "window_hu": (-160.0, 240.0), "scores": ()}
    served = routes(run_cases(store, CASES, predict, **shown, lesions=lesions))
    placed, unplaced = json.loads(body(served["/cases.json"]()))["cases"][0]["lesions"]
    labels = stacked(store, "20", "labels")
    expected = np.argwhere(labels == 2).mean(axis=0)[::-1]
    np.testing.assert_allclose(placed["place"], expected, atol=0.75)
    assert unplaced["place"] is None


def test_cases_are_listed_with_their_scores(served: Routes) -> None:
    about = json.loads(body(served["/cases.json"]()))
    assert (about["run"], about["first"], about["window_hu"]) == ("focal", 1, [-160, 240])
    assert [case["name"] for case in about["cases"]] == list(CASES)
    first, second = about["cases"]
    assert first["dice"] == {"liver": 0.5, "tumour": None}
    assert second["dice"] == {"liver": None, "tumour": None}
    assert (first["path"], first["slices"], first["patient"]) == ("/case/0/", 12, "20")


def test_a_case_is_predicted_once_and_only_on_request(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "_PAGE", {})
    asked: list[str] = []

    def predict(case: str) -> np.ndarray:
        asked.append(case)
        return moved(store, case)

    served = routes(run_cases(store, CASES, predict, run="", first="20", window_hu=(0.0, 1.0), scores=()))
    body(served["/case/0/scan.nii"]())
    body(served["/case/0/truth.nii.gz"]())
    assert asked == []
    for name in ("prediction.nii.gz", "error.nii.gz", "prediction.nii.gz"):
        body(served[f"/case/0/{name}"]())
    assert asked == ["20"]


def test_a_build_without_niivue_says_how_to_get_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(pages._PAGE, f"/{BUNDLE}", ("no-such-bundle.js", "text/javascript"))
    with pytest.raises(LiverError, match=r"needs NiiVue.*pip install -e"):
        routes(run_cases(store, CASES, partial(moved, store), run="", first="20", window_hu=(0.0, 1.0), scores=()))
