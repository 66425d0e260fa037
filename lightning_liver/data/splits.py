"""Splits of cases for training, validation and testing, by patient, so that no patient is in two parts."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from pydantic import validate_call

from lightning_liver.errors import LiverError
from lightning_liver.readers import parsing, read_json

PARTS = ("train", "val", "test")

Names = Sequence[str | int]


@dataclass(frozen=True)
class Split:
    """Case names of each part, shorter names first, then by alphabet: "7" before "17"."""

    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...]

    def to_dict(self) -> dict[str, list[str]]:
        return {part: list(getattr(self, part)) for part in PARTS}

    @staticmethod
    def read(path: Path) -> "Split":
        """Read a run's split.json.

        Raises:
            LiverError: it is missing or damaged.
        """
        content = read_json(path)
        with parsing(path):
            if set(content) != set(PARTS) or not all(isinstance(names, list) for names in content.values()):
                raise ValueError(f"lists of cases are expected as {', '.join(PARTS)}")
            return Split(**{part: tuple(map(str, names)) for part, names in content.items()})


@validate_call
def choose(
    cases: Mapping[str, str],
    with_tumour: Sequence[str],
    *,
    split: dict[str, list[str | int]] | None,
    fold: int,
    folds: int,
    seed: int,
    train_patients: int | None,
    parts: Mapping[str, str] | None = None,
) -> Split:
    """Split by name if a split is given, else as the source says, else by fold.

    Args:
        parts: train, val or test of each case name, if the source says so.

    Raises:
        LiverError: an option of the folds where there are none; what by_fold and by_name raise.
    """
    if split is None and parts:
        return _by_source(cases, parts, fold=fold, train_patients=train_patients)
    if split is None:
        return by_fold(cases, fold=fold, folds=folds, seed=seed, with_tumour=with_tumour, train_patients=train_patients)
    if train_patients is not None:
        raise LiverError(
            f"data.train_patients={train_patients}: expected null where data.split names the patients; set it to null"
        )
    return by_name(cases, split=split)


def _by_source(cases: Mapping[str, str], parts: Mapping[str, str], *, fold: int, train_patients: int | None) -> Split:
    for option, value, plain in (("fold", fold, 0), ("train_patients", train_patients, None)):
        if value != plain:
            raise LiverError(
                f"data.{option}={value}: expected the default, since the table of the scans has a column split; "
                "leave it out, or empty that column"
            )
    if missing := next((part for part in ("train", "val") if part not in parts.values()), None):
        raise LiverError(f"split: expected a labelled scan with {missing} in the table of the scans; add one")
    return _split(cases, {cases[name]: part for name, part in parts.items()})


def by_fold(
    cases: Mapping[str, str],
    *,
    fold: int,
    folds: int,
    seed: int,
    with_tumour: Collection[str],
    train_patients: int | None = None,
) -> Split:
    """Deal patients into `folds` groups: group `fold` tests, the next one validates, the others train.

    Args:
        cases: patient of each case name; their order does not matter.
        fold: 0 to folds - 1.
        folds: number of groups, 3 or more.
        seed: of the shuffle, which is a hash and therefore independent of library versions.
        with_tumour: names of cases that have a tumour; their patients are spread evenly over the groups.
        train_patients: number of training patients, those with a tumour first; a smaller set is always a subset of a
            larger one. None is all.

    Raises:
        LiverError: an invalid fold or number of folds, fewer patients than folds or than `train_patients`.
    """
    patients = set(cases.values())
    _check_folds(len(patients), fold, folds)
    bearing = {patient for case, patient in cases.items() if case in with_tumour}
    deck = sorted(patients, key=lambda patient: (patient not in bearing, _shuffled(seed, patient), patient))
    part_of_group = {fold: "test", (fold + 1) % folds: "val"}
    part_of = {patient: part_of_group.get(n % folds, "train") for n, patient in enumerate(deck)}
    training = [patient for patient in deck if part_of[patient] == "train"]
    if train_patients is not None and not 1 <= train_patients <= len(training):
        raise LiverError(
            f"data.train_patients={train_patients}: expected 1 to {len(training)}, the patients of this fold"
        )
    spare = training[train_patients:] if train_patients is not None else []
    return _split(cases, {patient: part for patient, part in part_of.items() if patient not in spare})


def by_name(cases: Mapping[str, str], *, split: Mapping[str, Names]) -> Split:
    """Split by {train: [patients], val: [patients], test: [patients]}; patients not named are left out.

    Args:
        cases: patient of each case name.
        split: patients of each part, as text or numbers; only test may be empty.

    Raises:
        LiverError: a part is missing, empty or not a list; a patient is unknown or in two parts.
    """
    part_of: dict[str, str] = {}
    for part, patients in _check_parts(split).items():
        for patient in patients:
            if part_of.setdefault(patient, part) != part:
                raise LiverError(
                    f"data.split: patient {patient} is in {part_of[patient]} and {part}; keep it in one of them"
                )
    _check_known(part_of, set(cases.values()))
    return _split(cases, part_of)


def _split(cases: Mapping[str, str], part_of: Mapping[str, str]) -> Split:
    """Return the split; a patient has one entry in `part_of`, so it cannot be in two parts."""
    names = sorted(cases, key=_short_first)
    return Split(*(tuple(name for name in names if part_of.get(cases[name]) == part) for part in PARTS))


def _short_first(name: str) -> tuple[int, str]:
    return len(name), name


def _shuffled(seed: int, patient: str) -> bytes:
    return sha256(f"{seed} {patient}".encode()).digest()


def _check_folds(patients: int, fold: int, folds: int) -> None:
    if folds < 3:
        raise LiverError(f"data.folds={folds}: expected 3 or more, for train, val and test")
    if not 0 <= fold < folds:
        raise LiverError(f"data.fold={fold}: expected 0 to {folds - 1}, as data.folds={folds}")
    if patients < folds:
        raise LiverError(
            f"data.folds={folds}: expected at most {patients}, the number of patients; "
            "lower data.folds (3 at least) or name the patients in data.split={train:[...],val:[...],test:[...]}"
        )


def _check_parts(split: Mapping[str, Names]) -> dict[str, list[str]]:
    if set(split) != set(PARTS):
        raise LiverError(f"data.split={{{', '.join(split)}}}: expected train, val and test; test may be []")
    for part, names in split.items():
        if isinstance(names, str) or not isinstance(names, Sequence):
            raise LiverError(f"data.split.{part}={names!r}: expected a list of patients in brackets")
        if not names and part != "test":
            raise LiverError(f"data.split.{part}=[]: expected at least one patient")
    return {part: [str(name) for name in split[part]] for part in PARTS}


def _check_known(named: Collection[str], patients: Collection[str]) -> None:
    unknown = [name for name in named if name not in patients]
    if unknown:
        raise LiverError(f"data.split: unknown patients {_listed(unknown)}; expected some of {_listed(patients)}")


def _listed(names: Collection[str]) -> str:
    return ", ".join(sorted(map(str, names), key=_short_first)) or "none"
