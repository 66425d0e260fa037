"""Record of an audit beside the store, of which training warns."""

import json
import os
from pathlib import Path

import pytest

from lightning_liver.audit.pairs import Pair
from lightning_liver.audit.record import crossing_pairs, record_path, write_record
from lightning_liver.data import sources
from lightning_liver.data.prepare import prepare
from lightning_liver.data.splits import Split
from lightning_liver.data.store import Store
from lightning_liver.errors import LiverError
from lightning_liver.training.assembly import _warn_of_leaks

SPLIT = Split(("20", "21"), ("22",), ("23",))


def prepared(scans: Path, tmp_path: Path) -> Store:
    cases = sources.lits(scans, patients=None)
    return prepare(cases, store=tmp_path / "store", spacing_mm=2.0, workers=0, skip_bad=False)


@pytest.fixture
def store(scans: Path, tmp_path: Path) -> Store:
    """A store whose audit found that 20 and 23 are one patient, and so are 20 and 21."""
    made = prepared(scans, tmp_path)
    pairs = [Pair("20", "23", "same_patient", 0.9, "equal bones"), Pair("20", "21", "same_scan", 1.0, "equal voxels")]
    write_record(made, pairs, tmp_path / "audited")
    return made


def test_training_warns_of_the_pairs_that_its_split_crosses(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _warn_of_leaks(store, SPLIT)
    assert "20 (train) and 23 (test), same patient: equal bones" in caplog.text
    assert str(tmp_path / "audited") in caplog.text
    assert "equal voxels" not in caplog.text, "both of them train"


def test_training_is_silent_without_an_audit_and_where_its_split_keeps_pairs_together(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    _warn_of_leaks(store, Split(("20", "21", "23"), ("22",), ()))
    record_path(store).unlink()
    _warn_of_leaks(store, SPLIT)
    assert not caplog.text


def test_pairs_of_scans_that_changed_are_forgotten(store: Store, scans: Path, tmp_path: Path) -> None:
    found = crossing_pairs(store, SPLIT)
    assert found is not None
    assert len(found.pairs) == 1
    os.utime(scans / "volume-23.nii.gz", (1, 1))
    found = crossing_pairs(prepared(scans, tmp_path), SPLIT)
    assert found is not None
    assert not found.pairs


@pytest.mark.parametrize("content", ["{", json.dumps({"pairs": [{"cases": {"20": None}}]}), "[]"])
def test_a_damaged_record_is_named_and_stops_no_training(
    store: Store, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    record_path(store).write_text(content)
    with pytest.raises(LiverError, match=r"audit\.json.*liver-audit"):
        crossing_pairs(store, SPLIT)
    _warn_of_leaks(store, SPLIT)
    assert "not compared with the last audit" in caplog.text
