"""Leaks of a split, by pairs and by patients, and the draft of patients.csv."""

import pytest

from lightning_liver.audit.leaks import NamedSplit, draft_patients, find_leaks, groups_of, shared_findings
from lightning_liver.audit.pairs import Pair
from lightning_liver.data.splits import Split, by_fold

ALONE = {name: name for name in "abcdef"}


def pair(first: str, second: str, kind: str = "same_patient", score: float = 0.9) -> Pair:
    return Pair(first, second, kind, score, f"{first} looks like {second}")  # type: ignore[arg-type]


def test_a_patient_on_both_sides_is_named_with_the_side_of_each_scan() -> None:
    split = NamedSplit("data.split", Split(("a", "b"), ("c",), ("d",)))
    [leak] = find_leaks([split], [pair("a", "d")], ALONE)
    assert leak.severity == "fix"
    assert leak.cases == ("a", "d")
    assert leak.text.startswith("data.split: a trains, d tests")
    assert "a looks like d" in leak.text


def test_pairs_within_a_part_and_scans_of_no_part_are_no_leak() -> None:
    split = NamedSplit("data.split", Split(("a", "b"), ("c",), ("d",)))
    assert not find_leaks([split], [pair("a", "b"), pair("d", "e")], ALONE)


def test_a_leak_through_a_scan_of_no_part_is_found() -> None:
    split = NamedSplit("data.split", Split(("a",), ("c",), ("d",)))
    [leak] = find_leaks([split], [pair("a", "e"), pair("e", "d")], ALONE)
    assert leak.cases == ("a", "d")


def test_a_leak_is_told_once_for_all_folds() -> None:
    splits = [
        NamedSplit(f"fold {fold} of 3", by_fold(ALONE, fold=fold, folds=3, seed=0, with_tumour=())) for fold in range(3)
    ]
    groups = splits[0].part_of()
    first = next(name for name in groups if groups[name] == "train")
    second = next(name for name in groups if groups[name] == "test")
    [leak] = find_leaks(splits, [pair(first, second)], ALONE)
    assert "in 3 of 3" in leak.text
    assert not find_leaks(splits, [], ALONE)


def test_known_patients_leak_without_a_pair_as_in_the_split_of_an_earlier_run() -> None:
    split = NamedSplit("run/split.json", Split(("a",), ("c",), ("d",)))
    [leak] = find_leaks([split], [], ALONE | {"a": "P", "d": "P"})
    assert "data.patients" in leak.text


def test_a_scan_listed_in_two_parts_is_a_leak() -> None:
    [leak] = find_leaks([NamedSplit("run/split.json", Split(("a",), ("c",), ("a",)))], [], ALONE)
    assert "a is in train and test" in leak.text


def test_groups_join_pairs_and_patients() -> None:
    groups = groups_of([pair("a", "b"), pair("b", "c")], ALONE | {"c": "P", "d": "P"})
    assert [sorted(group) for group in groups] == [["a", "b", "c", "d"]]


@pytest.mark.parametrize(
    ("known", "wanted"),
    [({}, {"a": "a+b", "b": "a+b", "c": "c"}), ({"a": "P", "b": "P"}, {"a": "P", "b": "P", "c": "c"})],
)
def test_draft_gives_the_scans_of_a_pair_one_patient(known: dict[str, str], wanted: dict[str, str]) -> None:
    patients = {name: name for name in "abc"} | known
    assert draft_patients([pair("a", "b")], patients) == wanted
    assert draft_patients([], patients) == patients


def test_scans_of_two_data_sets_are_named_apart() -> None:
    [finding] = shared_findings([pair("7", "7", "same_scan")], "ircadb")
    assert finding.severity == "fix"
    assert finding.cases == ("7", "ircadb/7")
