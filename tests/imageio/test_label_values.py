"""Masks that number liver and tumour otherwise than LiTS."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lightning_liver.errors import LiverError
from lightning_liver.imageio.label_values import LITS, label_values
from lightning_liver.imageio.nifti import read_labels, write_labels
from lightning_liver.volume import Volume

AFFINE = np.diag([-1.5, -1.5, 3.0, 1.0])


def read(tmp_path: Path, values: list[int], given: Any) -> list[int]:
    stored = np.array(values, np.uint8).reshape(1, 1, -1)
    write_labels(tmp_path / "mask.nii.gz", stored, AFFINE)
    volume = Volume(np.zeros(stored.shape, np.int16), (3.0, 1.5, 1.5), AFFINE)
    return read_labels(tmp_path / "mask.nii.gz", volume, label_values(given, "data.labels")).ravel().tolist()


@pytest.mark.parametrize(
    ("given", "values", "expected"),
    [
        (None, [0, 1, 2], [0, 1, 2]),
        ({"liver": [1, 2], "tumour": [2]}, [0, 1, 2], [0, 1, 2]),
        ({"liver": [6], "tumour": [7]}, [0, 6, 7], [0, 1, 2]),
        ({"liver": [6, 7, 9], "tumour": [7, 8]}, [0, 6, 7, 8, 9], [0, 1, 2, 2, 1]),
        ({"liver": [63]}, [0, 63], [0, 1]),
        ({"liver": [1], "background": [2, 5]}, [0, 1, 2, 5], [0, 1, 0, 0]),
        ({"liver": [5], "tumour": [0x10], "background": "others"}, [0, 1, 5, 16, 200], [0, 0, 1, 2, 0]),
    ],
)
def test_values_become_background_liver_and_tumour(
    tmp_path: Path, given: Any, values: list[int], expected: list[int]
) -> None:
    assert read(tmp_path, values, given) == expected


def test_value_without_a_meaning_is_told(tmp_path: Path) -> None:
    with pytest.raises(LiverError, match=r"tumour 7, background 0, but the mask also has 1, 3; .*data\.labels"):
        read(tmp_path, [0, 1, 3, 6, 7], {"liver": [6], "tumour": [7]})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"tumour": [2]}, "data.labels.liver: expected a value"),
        ({"liver": []}, "data.labels.liver"),
        ({"liver": [1.5]}, "data.labels.liver"),
        ({"liver": 1}, "data.labels.liver=1: expected a list"),
        ({"liver": [1], "tumor": [2]}, "data.labels.tumor"),
        ({"liver": [0]}, "expected 0 as background or as a structure"),
        ({"liver": [1], "background": [1]}, "expected 1 as background or as a structure"),
        ([1, 2], "data.labels"),
    ],
)
def test_wrong_map_is_told_with_an_example(given: Any, message: str) -> None:
    with pytest.raises(LiverError, match=message) as wrong:
        label_values(given, "data.labels")
    assert "data.labels={liver:[1,2],tumour:[2]}" in str(wrong.value)


def test_equal_meanings_have_equal_entries() -> None:
    assert label_values({"liver": [1], "tumour": [2]}, "x").as_entry() == LITS.as_entry()
