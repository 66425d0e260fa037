"""Which slices a preview shows."""

from lightning_liver.commands.augment_preview import telling
from lightning_liver.data.store import CaseRecord


def record(name: str, liver: list[int], tumour: list[int], *, spacing_mm: float = 1.0) -> CaseRecord:
    shape, spacing = (len(liver), 32, 32), (3.0, spacing_mm, spacing_mm)
    eye = [[float(i == j) for j in range(4)] for i in range(4)]
    has = any(tumour)
    return CaseRecord(name, name, "", "", shape, spacing, shape, spacing, eye, liver, tumour, has, [], {})


CASES = [
    record("a", [0, 90, 80, 70], [0, 0, 10, 30]),
    record("b", [50, 60, 70, 0], [0, 0, 5, 0]),
    record("c", [10, 12, 11, 0], [0, 0, 0, 0]),
]


def test_slices_are_in_turn_with_most_tumour_and_with_most_liver_alone_each_of_another_case() -> None:
    assert telling(CASES, 1) == [("a", 3)]
    assert telling(CASES, 2) == [("a", 3), ("b", 1)]
    assert telling(CASES, 3) == [("a", 3), ("b", 1), ("a", 2)]


def test_the_largest_area_counts_not_the_most_pixels() -> None:
    assert telling([CASES[0], record("d", [20], [20], spacing_mm=2.0)], 1) == [("d", 0)]


def test_without_tumours_slices_of_liver_alone_are_shown() -> None:
    assert telling([CASES[2]], 2) == [("c", 1), ("c", 2)]


def test_no_more_slices_than_there_are() -> None:
    assert len(telling(CASES, 99)) == 9
    assert telling([record("e", [0, 0], [0, 0])], 2) == []
