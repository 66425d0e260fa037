"""Choice of the slices that a preview shows."""

from lightning_liver.commands.augment_preview import representative_slices
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


def test_slices_alternate_between_most_tumour_and_most_liver_of_different_cases() -> None:
    assert representative_slices(CASES, 1) == [("a", 3)]
    assert representative_slices(CASES, 2) == [("a", 3), ("b", 1)]
    assert representative_slices(CASES, 3) == [("a", 3), ("b", 1), ("a", 2)]


def test_area_counts_and_not_pixels() -> None:
    assert representative_slices([CASES[0], record("d", [20], [20], spacing_mm=2.0)], 1) == [("d", 0)]


def test_without_tumours_all_slices_have_liver_alone() -> None:
    assert representative_slices([CASES[2]], 2) == [("c", 1), ("c", 2)]


def test_there_are_at_most_as_many_slices_as_in_the_cases() -> None:
    assert len(representative_slices(CASES, 99)) == 9
    assert representative_slices([record("e", [0, 0], [0, 0])], 2) == []
