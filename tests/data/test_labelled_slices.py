"""Training on some slices of a case."""

from pathlib import Path

import numpy as np
import pytest

from lightning_liver.data.labelled_slices import read_labelled_slices, write_labelled_slices
from lightning_liver.data.sampling import Pools
from lightning_liver.errors import LiverError
from tests.commands.test_augment_preview import record

RECORDS = [record("1", [0, 5, 5, 0], [0, 0, 2, 0]), record("2", [3, 3], [1, 0])]


def test_slices_are_read_as_they_were_written(tmp_path: Path) -> None:
    write_labelled_slices(tmp_path / "slices.csv", [("1", 0), ("1", 2), ("2", 1)])
    assert read_labelled_slices(tmp_path / "slices.csv", RECORDS) == {"1": {0, 2}, "2": {1}}


def test_only_labelled_slices_are_drawn() -> None:
    pools = Pools.of(RECORDS, {"1": {0, 1}, "2": {1}})
    kinds = {kind: {case: zs.tolist() for case, zs in cases.items()} for kind, cases in pools.kinds.items()}
    assert kinds == {"tumour": {}, "liver": {"1": [1], "2": [1]}, "any": {"1": [0, 1], "2": [1]}}
    whole = Pools.of(RECORDS)
    assert {case: len(zs) for case, zs in whole.kinds["any"].items()} == {"1": 4, "2": 2}
    assert np.array_equal(whole.kinds["tumour"]["1"], [2])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("case,z\n3,0\n", "line 2 names case '3'"),
        ("case,z\n1,0\n1,4\n", "line 3: expected z from 0 to 3"),
        ("case,z\n1,-1\n", "line 2: expected z from 0 to 3"),
        ("case,z\n", "it has none"),
        ("", "it has none"),
        ("name;slice\n1;2\n", "column"),
    ],
)
def test_wrong_tables_are_refused_by_line(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "slices.csv"
    path.write_text(text)
    with pytest.raises(LiverError, match="slices") as caught:
        read_labelled_slices(path, RECORDS)
    assert told in str(caught.value)


def test_missing_and_binary_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00case")
    for name in ("absent.csv", "binary.csv"):
        with pytest.raises(LiverError, match=name):
            read_labelled_slices(tmp_path / name, RECORDS)
