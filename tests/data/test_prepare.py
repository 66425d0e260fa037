import errno
import json
import logging
import os
import resource
import shutil
import signal
import threading
import time
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from filelock import FileLock

from lightning_liver.data import prepare as preparing
from lightning_liver.data import sources
from lightning_liver.data.prepare import prepare
from lightning_liver.data.store import FORMAT, HU_BIN, HU_RANGE, SliceWriter, Store, intensity, open_store
from lightning_liver.errors import LiverError
from lightning_liver.imageio.label_values import LITS
from lightning_liver.imageio.nifti import read_labels, read_volume
from tests.conftest import write_scan


def prepared(root: Path, store: Path, **options: Any) -> Store:
    defaults = {"spacing_mm": None, "workers": 0, "skip_bad": False}
    return prepare(sources.lits(root, patients=None), store=store, **(defaults | options))


def times(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"}


def volume(store: Store, name: str, kind: Any = "hu") -> np.ndarray:
    return np.stack([store.read(name, kind, z) for z in range(store.cases[name].shape[0])])


def test_native_store_holds_the_scan_voxel_for_voxel(scans: Path, tmp_path: Path) -> None:
    store = prepared(scans, tmp_path / "store")
    scan = read_volume(scans / "volume-20.nii.gz")
    labels = read_labels(scans / "segmentation-20.nii.gz", scan)
    np.testing.assert_array_equal(volume(store, "20"), scan.hu)
    for kind in ("labels", "native_labels"):
        np.testing.assert_array_equal(volume(store, "20", kind), labels)
    record = store.cases["20"]
    assert record.liver_pixels == np.count_nonzero(labels, axis=(1, 2)).tolist()
    assert record.tumour_pixels == np.count_nonzero(labels == 2, axis=(1, 2)).tolist()
    assert record.spacing_mm == record.native_spacing_mm == (3.0, 1.5, 1.5)


def test_resampling_keeps_the_field_of_view_and_the_slices(scans: Path, tmp_path: Path) -> None:
    record = prepared(scans, tmp_path / "store", spacing_mm=2.0).cases["20"]
    assert record.native_shape == (12, 40, 48)
    assert record.shape == (12, 30, 36)
    np.testing.assert_allclose(np.multiply(record.shape, record.spacing_mm), (36, 60, 72))


def test_a_scan_of_a_huge_field_of_view_is_refused_by_name(tmp_path: Path) -> None:
    write_scan(tmp_path / "scans", 20, shape=(12, 160, 160), spacing_mm=45.0)
    with pytest.raises(LiverError, match=r"volume-20\.nii\.gz: data\.spacing_mm=1: expected slices of at most"):
        prepared(tmp_path / "scans", tmp_path / "store", spacing_mm=1.0)


def test_resampled_store_keeps_native_labels(scans: Path, tmp_path: Path) -> None:
    store = prepared(scans, tmp_path / "store", spacing_mm=2.0)
    labels = read_labels(scans / "segmentation-20.nii.gz", read_volume(scans / "volume-20.nii.gz"))
    np.testing.assert_array_equal(volume(store, "20", "native_labels"), labels)
    assert volume(store, "20", "labels").shape == (12, 30, 36)


def test_second_run_touches_nothing(scans: Path, tmp_path: Path) -> None:
    prepared(scans, tmp_path / "store")
    before = times(tmp_path / "store")
    prepared(scans, tmp_path / "store")
    assert times(tmp_path / "store") == before


def test_another_spacing_has_its_own_folder(scans: Path, tmp_path: Path) -> None:
    native = prepared(scans, tmp_path / "store")
    before = times(native.folder)
    coarse = prepared(scans, tmp_path / "store", spacing_mm=3.0)
    assert coarse.folder != native.folder
    assert times(native.folder) == before


def test_only_a_changed_scan_is_prepared_anew(scans: Path, tmp_path: Path) -> None:
    store = prepared(scans, tmp_path / "store")
    before = times(store.folder / "cases")
    write_scan(scans, 21, shape=(14, 40, 48))
    store = prepared(scans, tmp_path / "store")
    after = times(store.folder / "cases")
    assert {path.parent.name for path in before if before[path] != after[path]} == {"21"}
    assert volume(store, "21").shape == (14, 40, 48)


def test_labels_added_later_are_prepared(scans: Path, tmp_path: Path) -> None:
    mask = scans / "segmentation-21.nii.gz"
    mask.rename(tmp_path / "kept")
    assert not prepared(scans, tmp_path / "store").cases["21"].labelled
    (tmp_path / "kept").rename(mask)
    assert prepared(scans, tmp_path / "store").cases["21"].has_tumour


def test_interrupted_run_continues(scans: Path, tmp_path: Path) -> None:
    store = prepared(scans, tmp_path / "store")
    shutil.rmtree(store.folder / "cases" / "22")  # was not reached
    leftover = store.folder / ".23-abc"  # was being written
    leftover.mkdir()
    (store.folder / "manifest.json").unlink()
    before = times(store.folder / "cases" / "20")
    store = prepared(scans, tmp_path / "store")
    assert list(store.cases) == ["20", "21", "22", "23", "24"]
    assert not leftover.exists()
    assert times(store.folder / "cases" / "20") == before


def test_worker_processes_change_no_byte(scans: Path, tmp_path: Path) -> None:
    alone, pooled = (prepared(scans, tmp_path / f"{n}", workers=n, spacing_mm=2.0) for n in (0, 2))
    for path in sorted(alone.folder.rglob("*.b2nd")):
        assert path.read_bytes() == (pooled.folder / path.relative_to(alone.folder)).read_bytes()
    assert alone.cases == pooled.cases


def test_manifest_is_the_store(scans: Path, tmp_path: Path) -> None:
    store = prepared(scans, tmp_path / "store")
    assert open_store(store.folder).cases == store.cases
    with pytest.raises(LiverError, match=r"expected a store with a manifest\.json; make one with liver-prepare"):
        open_store(tmp_path)


def test_new_patients_need_no_rebuilding(scans: Path, tmp_path: Path) -> None:
    store = prepared(scans, tmp_path / "store")
    before = times(store.folder / "cases")
    csv = tmp_path / "patients.csv"
    csv.write_text("case,patient\n20,A\n21,A\n22,B\n23,C\n24,D\n")
    cases = sources.lits(scans, patients=csv)
    store = prepare(cases, store=tmp_path / "store", spacing_mm=None, workers=0, skip_bad=False)
    assert [record.patient for record in store.cases.values()] == ["A", "A", "B", "C", "D"]
    assert times(store.folder / "cases") == before
    assert open_store(store.folder).cases["21"].patient == "A", "the manifest says it too"


def test_one_bad_case_never_stops_the_others(scans: Path, tmp_path: Path) -> None:
    truncated, empty = scans / "volume-21.nii.gz", scans / "segmentation-23.nii.gz"
    truncated.write_bytes(truncated.read_bytes()[:2000])
    empty.write_bytes(b"")
    with pytest.raises(LiverError) as caught:
        prepared(scans, tmp_path / "store")
    message = str(caught.value)
    assert "2 of 5" in message
    assert "volume-21.nii.gz" in message
    assert "segmentation-23.nii.gz" in message
    assert "data.skip_bad=true" in message
    manifest = json.loads((tmp_path / "store" / "native" / "manifest.json").read_text())
    assert list(manifest["cases"]) == ["20", "22", "24"]


def test_bad_cases_can_be_skipped(scans: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (scans / "volume-21.nii.gz").write_bytes(b"not a scan at all")
    store = prepared(scans, tmp_path / "store", skip_bad=True)
    assert list(store.cases) == ["20", "22", "23", "24"]
    assert "volume-21.nii.gz" in caplog.text


def test_case_without_labels_is_kept_for_prediction(
    scans: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (scans / "segmentation-22.nii.gz").unlink()
    store = prepared(scans, tmp_path / "store")
    assert "22" in store.cases
    assert store.labelled() == ["20", "21", "23", "24"]
    assert "Cases without labels, for prediction only: 22" in caplog.text


def test_warnings_of_a_kind_come_once_with_their_files(
    scans: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number in (20, 24):
        mask = scans / f"segmentation-{number}.nii.gz"
        voxels = np.asarray(nib.load(mask).dataobj)
        nib.save(nib.Nifti1Image(voxels, np.eye(4)), mask)
    store = prepared(scans, tmp_path / "store")
    told = [r.message for r in caplog.records if "segmentation-20" in r.message]
    assert len(told) == 1
    assert "segmentation-24" in told[0]
    assert store.cases["20"].has_tumour
    caplog.clear()
    prepared(scans, tmp_path / "store")
    assert [r.message for r in caplog.records] == told, "a run that finds the cases prepared is warned, too"


def test_padding_of_minus_3024_becomes_air(scans: Path, tmp_path: Path) -> None:
    path = scans / "volume-20.nii.gz"
    image = nib.load(path)
    voxels = np.asarray(image.dataobj).copy()
    voxels[:3] = -3024
    nib.save(nib.Nifti1Image(voxels, image.affine), path)
    assert volume(prepared(scans, tmp_path / "store"), "20").min() == HU_RANGE[0]


def test_full_disk_keeps_complete_cases(scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: set[Path] = set()
    put = SliceWriter.put

    def fill(self: SliceWriter, z: int, pixels: np.ndarray) -> None:
        if len(written | {self.path}) > 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.add(self.path)
        put(self, z, pixels)

    monkeypatch.setattr(SliceWriter, "put", fill)
    with pytest.raises(LiverError, match="the disk is full"):
        prepared(scans, tmp_path / "store")
    monkeypatch.undo()
    folder = tmp_path / "store" / "native"
    assert [path.name for path in (folder / "cases").iterdir()] == ["20"]
    assert not list(folder.glob(".2*")), "half-written cases are cleared away"
    assert len(prepared(scans, tmp_path / "store").cases) == 5


@pytest.mark.parametrize("room", [100, 2000, 20_000])
def test_a_file_larger_than_the_disk_raises_the_system_error(scans: Path, tmp_path: Path, room: int) -> None:
    """blosc2 reports that it could not write, but not why."""

    def write() -> None:
        writer = SliceWriter(tmp_path / "hu.b2nd", (40, 64, 64), np.int16)
        for z in range(40):
            writer.put(z, np.random.default_rng(z).integers(-1000, 1000, (64, 64), np.int16))

    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        with pytest.raises(OSError, match="too large") as caught:
            write()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert caught.value.errno == errno.EFBIG


def killed_on_21(case: sources.Case, *_: Any) -> preparing.Outcome:
    """Simulate a worker that the system kills for its memory."""
    if case.name == "21":
        os.kill(os.getpid(), signal.SIGKILL)
    return preparing.Outcome(case, None, "not prepared here", ())


@pytest.mark.slow
def test_killed_worker_is_reported_and_the_others_are_prepared(scans: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparing, "_attempt", killed_on_21)
    cases = sources.lits(scans, patients=None)
    outcomes = {o.case.name: str(o.error) for o in preparing._outcomes(cases, scans, preparing.Making(None, LITS), 1)}
    assert "volume-21" in outcomes["21"]
    assert "data.workers=1" in outcomes["21"]
    assert [outcomes[name] for name in ("20", "22", "23", "24")] == ["not prepared here"] * 4


def test_two_files_of_one_number_are_a_bad_case(scans: Path, tmp_path: Path) -> None:
    shutil.copy(scans / "volume-21.nii.gz", scans / "volume-021.nii.gz")
    with pytest.raises(LiverError, match="1 of 5") as caught:
        prepared(scans, tmp_path / "store")
    assert "volume-021.nii.gz" in str(caught.value)
    assert list(prepared(scans, tmp_path / "store", skip_bad=True).cases) == ["20", "22", "23", "24"]


def test_any_error_of_a_library_is_one_bad_case(scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr(SliceWriter, "put", fail)
    with pytest.raises(LiverError, match="5 of 5 cases could not be prepared") as caught:
        prepared(scans, tmp_path / "store")
    assert "MemoryError" in str(caught.value)


def test_stores_of_two_roots_never_mix(scans: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(scans, other)  # names, sizes and times are equal
    first = prepared(scans, tmp_path / "store").cases["20"]
    assert prepared(other, tmp_path / "store").cases["20"].volume != first.volume


def test_a_tumour_too_small_for_the_grid_still_counts_for_folds(scans: Path, tmp_path: Path) -> None:
    path = scans / "segmentation-20.nii.gz"
    image = nib.load(path)
    voxels = np.asarray(image.dataobj).copy()
    voxels[voxels == 2] = 1
    voxels[15, 15, 5] = 2
    nib.save(nib.Nifti1Image(voxels, image.affine), path)
    record = prepared(scans, tmp_path / "store", spacing_mm=6.0).cases["20"]
    assert not any(record.tumour_pixels)
    assert record.has_tumour


def test_waiting_for_another_process_is_logged(scans: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "store" / "native"
    folder.mkdir(parents=True)
    held = threading.Event()

    def hold() -> None:
        with FileLock(folder / "prepare.lock"):
            held.set()
            time.sleep(0.5)

    threading.Thread(target=hold).start()
    held.wait()
    with caplog.at_level(logging.INFO):
        prepared(scans, tmp_path / "store")
    assert "waiting" in caplog.text


def test_estimate_comes_before_the_work(scans: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        prepared(scans, tmp_path / "store")
    assert "Preparing 5 of 5 cases" in caplog.text
    assert "GB are free" in caplog.text


def test_unwritable_store_names_the_option(scans: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LiverError, match=r"data\.store"):
        prepared(scans, tmp_path / "file" / "store")


def test_intensity_equals_that_of_the_voxels(scans: Path, tmp_path: Path) -> None:
    store = prepared(scans, tmp_path / "store")
    voxels = np.concatenate([volume(store, name).ravel() for name in store.cases]).astype(float)
    low, high = -160, 240
    windowed = (np.clip(voxels, low, high) - low) / (high - low)
    mean, std = intensity(store.cases.values(), (low, high))
    assert mean == pytest.approx(windowed.mean(), abs=HU_BIN / (high - low))
    assert std == pytest.approx(windowed.std(), rel=0.02)


def test_labels_are_part_of_the_fingerprint_and_reach_native_labels(scans: Path, tmp_path: Path) -> None:
    plain = prepared(scans, tmp_path / "store", spacing_mm=2.0)
    tumour = {kind: volume(plain, "20", kind) == 2 for kind in ("labels", "native_labels")}
    before = times(tmp_path / "store")
    same = {"liver": [1], "tumour": [2]}
    prepared(scans, tmp_path / "store", spacing_mm=2.0, labels=same)
    assert times(tmp_path / "store") == before, "LiTS's own values"
    only_tumour = prepared(scans, tmp_path / "store", spacing_mm=2.0, labels={"liver": [2], "background": [1]})
    for kind in ("labels", "native_labels"):
        np.testing.assert_array_equal(volume(only_tumour, "20", kind), tumour[kind])
    assert not only_tumour.cases["20"].has_tumour
    with pytest.raises(LiverError, match="liver 7, tumour none, background 0, but the mask also has 1, 2"):
        prepared(scans, tmp_path / "store", spacing_mm=2.0, labels={"liver": [7]})


def rewrite(path: Path, change: Any) -> None:
    image = nib.load(path)
    nib.save(nib.Nifti1Image(change(np.asarray(image.dataobj)).astype(np.int16), image.affine), path)


def test_a_label_map_in_place_of_a_scan_is_refused_and_other_values_are_told(
    scans: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copy(scans / "segmentation-20.nii.gz", scans / "volume-20.nii.gz")
    rewrite(scans / "volume-21.nii.gz", lambda hu: hu + 1024)
    rewrite(scans / "volume-22.nii.gz", lambda hu: np.full_like(hu, 3071))
    with pytest.raises(LiverError, match=r"1 of 5(.|\n)*volume-20.nii.gz: the values go from 0 to 2, .* label map"):
        prepared(scans, tmp_path / "store")
    assert "whose offset of -1024 is missing; convert them to HU: volume-21.nii.gz" in caplog.text
    assert "every voxel has the value 3071, which is no CT; give a scan in HU: volume-22.nii.gz" in caplog.text


def test_a_data_set_without_a_voxel_of_liver_is_told(
    scans: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    prepared(scans, tmp_path / "store")
    assert "No mask has a voxel of liver" not in caplog.text
    for number in range(20, 25):
        rewrite(scans / f"segmentation-{number}.nii.gz", np.zeros_like)
    prepared(scans, tmp_path / "store")
    assert "No mask has a voxel of liver" in caplog.text


@pytest.mark.parametrize("number", [1, FORMAT + 1])
def test_a_store_of_another_version_is_prepared_again(scans: Path, tmp_path: Path, number: int) -> None:
    before = prepared(scans, tmp_path / "store")
    for path in before.folder.glob("cases/*/case.json"):
        record = json.loads(path.read_text())
        record["fingerprint"]["format"] = number
        path.write_text(json.dumps(record | ({"curvature": 3} if number > FORMAT else {})))
    manifest = before.folder / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"format": number}))
    assert prepared(scans, tmp_path / "store") == before
    assert json.loads(manifest.read_text())["format"] == FORMAT
