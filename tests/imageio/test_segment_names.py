"""Segments by their names and codes."""

from pathlib import Path

import pytest

from lightning_liver.errors import LiverError
from lightning_liver.imageio.segment_names import Segment, labels_of

LIVER, TUMOUR = 1, 2


def labels(*names: str) -> list[int | None]:
    return labels_of(Path("mask.nrrd"), [Segment(name) for name in names])


@pytest.mark.parametrize("name", ["liver", "Liver", "LIVER mask", "liver_1", "whole-liver", "Liver parenchyma"])
def test_a_liver_is_one_by_its_name(name: str) -> None:
    assert labels(name) == [LIVER]


@pytest.mark.parametrize(
    "name",
    [
        "tumour",
        "Tumor",
        "liver tumor",
        "LiverTumour",
        "lesion_3",
        "Lesions",
        "HCC",
        "metastases",
        "liver-cancer",
        "neoplasm",
    ],
)
def test_a_tumour_is_one_by_a_word_of_its_name(name: str) -> None:
    assert labels(name) == [TUMOUR]


@pytest.mark.parametrize(
    "name", ["kidney", "liver vessels", "peritumoral", "liver without tumour", "non-tumour liver", "bone", "", "oliver"]
)
def test_another_structure_is_neither(name: str) -> None:
    assert labels("liver", name) == [LIVER, None]


@pytest.mark.parametrize("pattern", ["Segment_{}", "segment {}", "{}", "label_{}", "Label{}"])
def test_numbers_count_where_no_segment_has_a_known_name(pattern: str) -> None:
    assert labels(pattern.format(2), pattern.format(1), pattern.format(3)) == [TUMOUR, LIVER, None]


def test_a_number_beside_a_known_name_may_be_anything() -> None:
    """Slicer names a new segment Segment_1, too."""
    assert labels("liver", "Segment_1") == [LIVER, None]
    assert labels_of(Path("x.dcm"), [Segment("Segment_2", LIVER), Segment("Segment_1")]) == [LIVER, None]


def test_a_code_counts_before_a_name_that_says_nothing() -> None:
    assert labels_of(Path("x.dcm"), [Segment("Segment_1", TUMOUR), Segment("liver", LIVER)]) == [TUMOUR, LIVER]


def test_a_code_that_contradicts_the_name_is_refused() -> None:
    with pytest.raises(LiverError, match=r"x\.dcm: segment 'tumour' is liver by its code and tumour by its name"):
        labels_of(Path("x.dcm"), [Segment("tumour", LIVER)])
