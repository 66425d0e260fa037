"""Damaged stores: never other pixels without a word."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from torch.utils.data import DataLoader

from lightning_liver.data import sources
from lightning_liver.data import store as stores
from lightning_liver.data.prepare import prepare
from lightning_liver.data.slices import Normalization, WholeSlices
from lightning_liver.data.store import Store, forget_open_arrays, open_store
from lightning_liver.errors import LiverError


@pytest.fixture
def store(scans: Path, tmp_path: Path) -> Store:
    """Two cases on a grid of their own, so that each has all its files."""
    cases = sources.lits(scans, patients=None)[:2]
    return prepare(cases, store=tmp_path / "store", spacing_mm=2.0, workers=0, skip_bad=False)


def flip(path: Path, place: int = -9) -> None:
    """Damage a byte, unknown to this process."""
    data = bytearray(path.read_bytes())
    data[place] ^= 64
    path.write_bytes(data)
    forget_open_arrays()


@pytest.mark.parametrize("file", ["hu.b2nd", "labels.b2nd", "native_labels.b2nd"])
@pytest.mark.parametrize("damage", ["flipped", "cut", "gone"])
def test_a_damaged_case_is_prepared_anew_and_read_as_it_was(
    store: Store, file: str, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = store.folder / "cases" / "20" / file
    kind = path.stem
    before, content = store.read("20", kind, 5), path.read_bytes()  # type: ignore[arg-type]
    flip(path)
    if damage == "cut":
        path.write_bytes(content[:-40])
    if damage == "gone":
        path.unlink()
    np.testing.assert_array_equal(store.read("20", kind, 5), before)  # type: ignore[arg-type]
    assert "case 20 is damaged and is prepared anew from" in caplog.text
    assert path.read_bytes() == content
    caplog.clear()
    forget_open_arrays()
    assert store.check("20")
    assert not caplog.text


def test_without_its_scan_a_damaged_case_is_refused_by_name(store: Store, scans: Path) -> None:
    flip(store.folder / "cases" / "20" / "hu.b2nd")
    told = r"hu.b2nd is not as it was written: case 20 is damaged and cannot be .*verify=true"
    (scans / "volume-20.nii.gz").rename(scans / "away.nii.gz")
    with pytest.raises(LiverError, match=told):
        store.read("20", "labels", 0)
    (scans / "volume-21.nii.gz").rename(scans / "volume-20.nii.gz")
    with pytest.raises(LiverError, match="the scan has changed"):
        store.read("20", "labels", 0)
    with pytest.raises(LiverError, match="case 20 is damaged; liver-prepare verify=true"):
        open_store(store.folder).read("20", "hu", 0)


@pytest.mark.slow
def test_a_loading_process_says_it_without_a_traceback(store: Store, scans: Path) -> None:
    flip(store.folder / "cases" / "20" / "hu.b2nd")
    (scans / "volume-20.nii.gz").unlink()
    slices = WholeSlices(store, Normalization((-100.0, 200.0), 0, 0.0, 1.0), cases=["20"], native=False)
    with pytest.raises(LiverError, match="case 20 is damaged") as told:
        next(iter(DataLoader(slices, num_workers=1)))
    assert "Traceback" not in str(told.value)
    assert "\n" not in str(told.value)


def test_a_case_is_compared_once_in_a_process(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    forget_open_arrays()
    compared: list[str] = []
    monkeypatch.setattr(stores, "fault_of", lambda folder, record: compared.append(record.name))
    for z in range(5):
        store.read("20", "hu", z)
        store.read("20", "labels", z)
    assert compared == ["20"]


def test_a_damaged_record_is_prepared_anew(store: Store, scans: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Any other number in it would be believed: spacing, counts of pixels, intensities."""
    path = store.folder / "cases" / "20" / "case.json"
    content = path.read_text()
    assert content.count("36") > 0
    for damaged in (content.replace("36", "35", 1), "", content[:99], "[]", "\udcff", "[" * 9999):
        path.write_text(damaged, errors="surrogateescape")
        cases = sources.lits(scans, patients=None)[:2]
        again = prepare(cases, store=store.folder.parent, spacing_mm=2.0, workers=0, skip_bad=False)
        assert again.cases == store.cases
        assert path.read_text() == content


@pytest.mark.parametrize("damage", ["a digit", "", "[]", "{}", "cut", "\udcff", "[" * 9999])
def test_a_damaged_manifest_is_named_and_written_again(store: Store, scans: Path, damage: str) -> None:
    path = store.folder / "manifest.json"
    content = path.read_text()
    spoilt = {"a digit": re.sub("36", "35", content, count=1), "cut": content[:99]}.get(damage, damage)
    path.write_text(spoilt, errors="surrogateescape")
    with pytest.raises(LiverError, match=r"manifest\.json: (damaged|expected format).*run liver-prepare"):
        open_store(store.folder)
    cases = sources.lits(scans, patients=None)[:2]
    prepare(cases, store=store.folder.parent, spacing_mm=2.0, workers=0, skip_bad=False)
    assert path.read_text() == content
    assert open_store(store.folder) == store


def test_a_store_of_an_earlier_format_is_prepared_anew(store: Store, scans: Path) -> None:
    """It has no checksums, so that nobody knows what is right."""
    path = store.folder / "cases" / "20" / "case.json"
    fields = json.loads(path.read_text())
    del fields["crc32"], fields["checksums"]
    fields["fingerprint"]["format"] = 3
    path.write_text(json.dumps(fields))
    cases = sources.lits(scans, patients=None)[:2]
    again = prepare(cases, store=store.folder.parent, spacing_mm=2.0, workers=0, skip_bad=False)
    assert again.cases["20"].checksums == store.cases["20"].checksums
