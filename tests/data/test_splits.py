from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_liver.data.splits import Split, by_fold, by_name, choose
from lightning_liver.errors import LiverError

NAMES = st.integers(0, 200).map(str)
PATIENTS = st.sampled_from([f"P{n}" for n in range(12)])
CASES = st.dictionaries(NAMES, PATIENTS, min_size=6).filter(lambda cases: len(set(cases.values())) >= 5)
unhurried = settings(deadline=None)  # machines of continuous integration are slow at times
LETTERS = {"0": "A", "1": "A", "2": "B", "3": "C", "4": "D", "6": "F", "7": "F", "12": "H"}


def patients_of(cases: dict[str, str], part: tuple[str, ...]) -> set[str]:
    return {cases[name] for name in part}


@unhurried
@given(CASES, st.integers(0, 4), st.integers(0, 99), st.sets(NAMES))
def test_folds_never_share_a_patient_and_lose_no_case(cases, fold, seed, with_tumour):
    split = by_fold(cases, fold=fold, folds=5, seed=seed, with_tumour=with_tumour)
    train, val, test = (patients_of(cases, part) for part in (split.train, split.val, split.test))
    assert len(train | val | test) == len(train) + len(val) + len(test)
    assert sorted(split.train + split.val + split.test) == sorted(cases)
    assert train
    assert val
    assert test


@unhurried
@given(CASES, st.integers(0, 99), st.sets(NAMES))
def test_each_patient_is_tested_once_and_validates_once_over_all_folds(cases, seed, with_tumour):
    splits = [by_fold(cases, fold=fold, folds=5, seed=seed, with_tumour=with_tumour) for fold in range(5)]
    assert Counter(name for split in splits for name in split.test) == Counter(cases.keys())
    assert all(splits[fold].val == splits[(fold + 1) % 5].test for fold in range(5))


@unhurried
@given(CASES, st.integers(0, 99), st.sets(NAMES))
def test_patients_and_tumour_bearing_patients_are_spread_evenly(cases, seed, with_tumour):
    bearing = {patient for name, patient in cases.items() if name in with_tumour}
    groups = [
        patients_of(cases, by_fold(cases, fold=fold, folds=5, seed=seed, with_tumour=with_tumour).test)
        for fold in range(5)
    ]
    assert max(map(len, groups)) - min(map(len, groups)) <= 1
    assert max(len(group & bearing) for group in groups) - min(len(group & bearing) for group in groups) <= 1


@unhurried
@given(CASES, st.integers(0, 4), st.sets(NAMES), st.integers(1, 30))
def test_fewer_training_patients_are_a_subset_of_more_and_change_no_other_part(cases, fold, with_tumour, count):
    options = {"fold": fold, "folds": 5, "seed": 3, "with_tumour": with_tumour}
    whole = by_fold(cases, **options)
    available = len(patients_of(cases, whole.train))
    if count > available:
        with pytest.raises(
            LiverError, match=rf"data.train_patients={count}: expected 1 to {available}, the patients of this fold"
        ):
            by_fold(cases, **options, train_patients=count)
        return
    few = by_fold(cases, **options, train_patients=count)
    fewer = by_fold(cases, **options, train_patients=max(count - 1, 1))
    assert len(patients_of(cases, few.train)) == count
    assert set(fewer.train) <= set(few.train) <= set(whole.train)
    assert (few.val, few.test) == (whole.val, whole.test)
    bearing = {cases[name] for name in cases if name in with_tumour}
    spare = patients_of(cases, whole.train) - patients_of(cases, few.train)
    assert not spare & bearing or patients_of(cases, few.train) <= bearing


@unhurried
@given(CASES, st.randoms(), st.sets(NAMES))
def test_order_of_the_input_does_not_matter(cases, random, with_tumour):
    shuffled = list(cases.items())
    random.shuffle(shuffled)
    one = by_fold(cases, fold=1, folds=3, seed=0, with_tumour=sorted(with_tumour))
    assert one == by_fold(dict(shuffled), fold=1, folds=3, seed=0, with_tumour=sorted(with_tumour, reverse=True))


def test_split_depends_on_the_seed():
    cases = {str(n): str(n) for n in range(40)}
    tests = [by_fold(cases, fold=0, folds=5, seed=seed, with_tumour=[]).test for seed in (0, 0, 1)]
    assert tests[0] == tests[1] != tests[2]


def test_a_fold_never_changes_between_versions():
    split = by_fold({str(n): str(n) for n in range(8)}, fold=0, folds=4, seed=0, with_tumour=["1", "2"])
    assert split.to_dict() == {"train": ["0", "3", "4", "6"], "val": ["1", "5"], "test": ["2", "7"]}


def test_cases_are_listed_by_number():
    cases = dict.fromkeys(("10", "9", "100"), "A") | {"1": "B", "2": "C"}
    split = by_name(cases, split={"train": ["A"], "val": ["B"], "test": ["C"]})
    assert split.train == ("9", "10", "100")


@pytest.mark.parametrize(("fold", "folds"), [(-1, 5), (5, 5), (0, 2), (0, 0)])
def test_fold_out_of_range_is_refused(fold, folds):
    with pytest.raises(LiverError, match=r"data\.fold"):
        by_fold(LETTERS, fold=fold, folds=folds, seed=0, with_tumour=[])


def test_fewer_patients_than_folds_are_refused_with_both_numbers():
    with pytest.raises(LiverError, match=r"data\.folds=3: expected at most 2, the number of patients.*data\.split"):
        by_fold({"0": "A", "1": "A", "2": "B"}, fold=0, folds=3, seed=0, with_tumour=[])


def test_named_split_with_a_number_of_training_patients_is_refused():
    split = {"train": ["A"], "val": ["B"], "test": ["C"]}
    with pytest.raises(LiverError, match=r"data\.train_patients=1: expected null"):
        choose(LETTERS, [], split=split, fold=0, folds=3, seed=0, train_patients=1)


def test_named_split_takes_all_cases_of_a_patient_and_leaves_out_the_unnamed():
    split = by_name(LETTERS, split={"train": ["A", "C", "F"], "val": ["D"], "test": ["B"]})
    assert split == Split(train=("0", "1", "3", "6", "7"), val=("4",), test=("2",))


def test_numbers_and_text_name_the_same_patient():
    cases = {"1": "1", "2": "2", "3": "3"}
    split = by_name(cases, split={"train": [1], "val": ["2"], "test": [3]})
    assert split == Split(("1",), ("2",), ("3",))


def test_test_part_may_be_empty_when_the_user_says_so():
    assert by_name(LETTERS, split={"train": ["A"], "val": ["B"], "test": []}).test == ()


@unhurried
@given(st.dictionaries(NAMES, PATIENTS, min_size=1), st.lists(st.lists(PATIENTS, max_size=4), min_size=3, max_size=3))
def test_named_split_refuses_or_shares_no_patient(cases, parts):
    try:
        split = by_name(cases, split=dict(zip(("train", "val", "test"), parts, strict=True)))
    except LiverError:
        return
    train, val, test = (patients_of(cases, part) for part in (split.train, split.val, split.test))
    assert len(train | val | test) == len(train) + len(val) + len(test)
    assert (train, val, test) == tuple(map(set, parts))


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ({"train": ["A"], "val": ["B"]}, "data.split={train, val}: expected train, val and test"),
        ({"train": ["A"], "valid": ["B"], "test": ["C"]}, "valid"),
        ({"train": [], "val": ["B"], "test": ["C"]}, r"train=\[\]: expected at least one"),
        ({"train": ["A"], "val": [], "test": ["C"]}, r"val=\[\]: expected at least one"),
        ({"train": ["A"], "val": ["B"], "test": None}, "test=None: expected a list"),
        ({"train": "A", "val": ["B"], "test": ["C"]}, "train='A': expected a list"),
        ({"train": ["A", "B"], "val": ["B"], "test": ["C"]}, "patient B is in train and val"),
        (
            {"train": ["A", "E"], "val": ["B"], "test": [99]},
            "unknown patients E, 99; expected some of A, B, C, D, F, H",
        ),
    ],
)
def test_faulty_named_split_is_refused(split, message):
    with pytest.raises(LiverError, match=message):
        by_name(LETTERS, split=split)


def test_a_table_with_a_column_split_is_followed_and_folds_are_refused() -> None:
    plain = {"split": None, "fold": 0, "folds": 5, "seed": 0, "train_patients": None}
    parts = {"a": "train", "b": "val", "c": "test"}
    assert choose({name: name for name in "abc"}, [], parts=parts, **plain) == Split(("a",), ("b",), ("c",))
    for option, value in {"fold": 1, "train_patients": 1}.items():
        with pytest.raises(LiverError, match=f"data.{option}=1: expected the default, since the table"):
            choose({name: name for name in "abc"}, [], parts=parts, **(plain | {option: value}))
    with pytest.raises(LiverError, match="expected a labelled scan with val"):
        choose({"a": "a"}, [], parts={"a": "train"}, **plain)
