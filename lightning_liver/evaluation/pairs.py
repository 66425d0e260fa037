"""Pairing of predicted and true masks by their file names."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from lightning_liver.errors import LiverError
from lightning_liver.files import required_folder, visible_files

NAMES = "segmentation-N, test-segmentation-N, NAME-segmentation, or NAME alone (.nii or .nii.gz)"

_MASK = re.compile(r"(?:(?:test-)?segmentation-(.+)|(.+)-segmentation)\.nii(?:\.gz)?", re.IGNORECASE)
_SCAN = re.compile(r"(?:test-)?volume-.+", re.IGNORECASE)
_NIFTI = re.compile(r"(.+)\.nii(?:\.gz)?", re.IGNORECASE)


@dataclass(frozen=True)
class CasePair:
    """True and predicted label map of a case.

    Args:
        case: common part of both file names: "17" of segmentation-017.nii and volume-17-segmentation.nii.
    """

    case: str
    truth: Path
    prediction: Path


class Matched(NamedTuple):
    """Pairs sorted by case, numbers by size, and the files without a partner."""

    pairs: list[CasePair]
    without_prediction: list[Path]
    without_truth: list[Path]


def match_files(truth: Path, predictions: Path) -> Matched:
    """Pair the masks below two folders, or two files.

    If any file of a folder is named a segmentation, only those are masks; else all NIfTI files except volume-N.

    Raises:
        LiverError: a folder that is missing or without masks, two masks of one case, no case in both.
    """
    if truth.is_file() and predictions.is_file():
        return Matched([CasePair(case_of(truth), truth, predictions)], [], [])
    true, predicted = _masks(truth, "truth"), _masks(predictions, "predictions")
    pairs = [
        CasePair(case, true[case], predicted[case]) for case in sorted(true.keys() & predicted.keys(), key=_by_number)
    ]
    if not pairs:
        raise LiverError(
            f"no case is both in truth={truth} ({_list_some(true)}) and in predictions={predictions} "
            f"({_list_some(predicted)}); expected the names {NAMES}"
        )
    return Matched(pairs, _without_partner(true, predicted), _without_partner(predicted, true))


def case_of(path: Path) -> str:
    """Return the case named by a file."""
    match, any_nifti = _MASK.fullmatch(path.name), _NIFTI.fullmatch(path.name)
    name = (match[1] or match[2]) if match else any_nifti[1] if any_nifti else path.name
    number = re.fullmatch(r"(?:(?:test-)?volume-)?(\d+)", name, re.IGNORECASE)
    return str(int(number[1])) if number else name


def _masks(folder: Path, option: str) -> dict[str, Path]:
    required_folder(option, folder, f"a folder with masks named {NAMES}")
    files = [file for file in visible_files(folder) if _NIFTI.fullmatch(file.name)]
    named = [file for file in files if _MASK.fullmatch(file.name)]
    masks: dict[str, Path] = {}
    for file in named or [file for file in files if not _SCAN.fullmatch(file.name)]:
        other = masks.setdefault(case_of(file), file)
        if other != file:
            raise LiverError(f"{option}: {other} and {file} are both masks of case {case_of(file)}; move one away")
    if not masks:
        raise LiverError(f"{option}={folder}: no masks below it; expected names {NAMES}")
    return masks


def _without_partner(masks: Mapping[str, Path], others: Mapping[str, Path]) -> list[Path]:
    return [masks[case] for case in sorted(masks.keys() - others.keys(), key=_by_number)]


def _by_number(case: str) -> tuple[int, str]:
    return (int(case), "") if case.isdecimal() else (-1, case)


def _list_some(cases: Iterable[str]) -> str:
    names = sorted(cases, key=_by_number)
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
