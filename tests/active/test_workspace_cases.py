"""Cases of a workspace as the viewer's page gets them."""

import gzip
import json
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from threading import Thread

import nibabel as nib
import numpy as np
import pytest

from lightning_liver.active.workspace import Places, read_workspace, write_workspace
from lightning_liver.active.workspace_cases import workspace_cases
from lightning_liver.errors import LiverError
from lightning_liver.imageio.nifti import write_labels
from lightning_liver.report.mistakes import mistakes
from lightning_liver.report.viewer import pages
from lightning_liver.report.viewer.pages import routes
from lightning_liver.report.viewer.server import loopback_server
from lightning_liver.volume import from_canonical
from tests.active.workspaces import DONE, DRAWN, LEFT, WAITING, phantom, proposed, write_phantoms
from tests.imageio.nrrd_files import write_nrrd


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    monkeypatch.setattr(pages, "_PAGE", {})
    return write_phantoms(tmp_path)


@pytest.fixture
def port(places: Places) -> Iterator[int]:
    with loopback_server(routes(workspace_cases(places.folder, None)), 0) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def ask(port: int, path: str) -> tuple[int, bytes]:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path)
    answer = connection.getresponse()
    return answer.status, answer.read()


def voxels(port: int, path: str) -> np.ndarray:
    """Return the values of a volume, (z, y, x)."""
    status, body = ask(port, path)
    assert status == 200, body
    image = nib.Nifti1Image.from_bytes(gzip.decompress(body) if path.endswith(".gz") else body)
    return np.asarray(image.dataobj).transpose(2, 1, 0)


def listed(port: int) -> dict[str, dict]:  # type: ignore[type-arg]
    return {case["name"]: case for case in json.loads(ask(port, "/cases.json")[1])["cases"]}


def test_scan_proposal_correction_and_change_are_sent_on_the_scans_grid(places: Places, port: int) -> None:
    volume, labels = phantom(places, places.folder.parent / "pool", DONE)
    np.testing.assert_array_equal(voxels(port, "/case/0/scan.nii"), volume.hu)
    np.testing.assert_array_equal(voxels(port, "/case/0/proposal.nii.gz"), proposed(labels))
    np.testing.assert_array_equal(voxels(port, "/case/0/correction.nii.gz"), labels)
    np.testing.assert_array_equal(voxels(port, "/case/0/change.nii.gz"), mistakes(labels, proposed(labels)))
    np.testing.assert_allclose(voxels(port, "/case/0/uncertainty.nii.gz"), (labels > 0) * 0.5 * 100 / 255, atol=1e-6)


def test_cases_are_listed_with_state_patient_and_dice(port: int) -> None:
    about = json.loads(ask(port, "/cases.json")[1])
    assert (about["workspace"], about["first"], about["window_hu"]) == ("workspace", 1, None)
    assert about["layers"] == ["proposal", "correction", "change", "uncertainty"]
    assert [(case["name"], case["state"], case["patient"], case["path"]) for case in about["cases"]] == [
        (DONE, "accepted", "a", "/case/0/"),
        (WAITING, "proposed", "b", "/case/1/"),
        (DRAWN, "proposed", "c", "/case/2/"),
    ]
    assert about["cases"][0]["dice"] == {"liver": 0.9, "tumour": None}
    assert about["cases"][1]["dice"] == {"liver": None, "tumour": None}


def test_absent_layers_have_their_reason_in_words(port: int) -> None:
    cases = listed(port)
    assert cases[DONE]["absent"] == {}
    assert cases[WAITING]["absent"].keys() == {"correction", "change", "uncertainty"}
    assert f"save the corrected mask as studies/labels/final/{WAITING}.nii.gz" in cases[WAITING]["absent"]["correction"]
    assert cases[DRAWN]["absent"]["proposal"] == "None: no network was trained yet."
    assert cases[DRAWN]["notes"] == {"correction": f"studies/labels/final/{DRAWN}.nii.gz, not accepted yet"}
    for path in ("/case/1/correction.nii.gz", "/case/1/change.nii.gz", "/case/2/proposal.nii.gz"):
        status, body = ask(port, path)
        assert (status, b"open the page again" in body) == (409, True)


def test_a_correction_that_is_saved_meanwhile_is_shown(places: Places, port: int) -> None:
    volume, labels = phantom(places, places.folder.parent / "pool", WAITING)
    write_labels(places.shown / f"{WAITING}.nii.gz", labels, volume.affine)  # edited in place
    case = listed(port)[WAITING]
    assert case["absent"].keys() == {"uncertainty"}
    assert case["notes"]["correction"].startswith("studies/labels/original/")
    np.testing.assert_array_equal(voxels(port, "/case/1/correction.nii.gz"), labels)


def test_a_correction_of_slicer_is_shown(places: Places, port: int) -> None:
    volume, labels = phantom(places, places.folder.parent / "pool", WAITING)
    write_nrrd(places.studies / f"{WAITING}.seg.nrrd", from_canonical(labels, volume.affine).T, volume.affine)
    np.testing.assert_array_equal(voxels(port, "/case/1/correction.nii.gz"), labels)


def test_a_damaged_correction_is_named(places: Places, port: int) -> None:
    (places.final / f"{WAITING}.nii.gz").write_bytes(b"half a file")
    status, body = ask(port, "/case/1/correction.nii.gz")
    assert (status, f"{WAITING}.nii.gz".encode() in body) == (409, True)
    assert ask(port, "/case/1/proposal.nii.gz")[0] == 200


def test_the_first_case_is_the_asked_one_else_one_that_waits(places: Places) -> None:
    assert workspace_cases(places.folder, None).first == WAITING
    assert workspace_cases(places.folder, DRAWN).first == DRAWN
    state = read_workspace(places.folder)
    for name in (WAITING, DRAWN):
        state = state.with_case(name, state="corrected")
    write_workspace(places.folder, state)
    assert workspace_cases(places.folder, None).first == DONE


def test_cases_that_cannot_be_shown_are_refused(places: Places) -> None:
    for name in (LEFT, "99"):
        with pytest.raises(LiverError, match=rf"case={name}: expected .*; choose one of {DONE}, {WAITING}, {DRAWN}$"):
            workspace_cases(places.folder, name)
    state = read_workspace(places.folder)
    for name in (DONE, WAITING, DRAWN):
        state = state.with_case(name, state="unlabelled")
    write_workspace(places.folder, state)
    with pytest.raises(LiverError, match=r"workspace=.*: expected a proposed case.*run liver-active action=propose"):
        workspace_cases(places.folder, None)
