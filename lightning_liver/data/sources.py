"""Cases of public data sets, found by their folder layouts. Nothing is ever written below a root."""

import csv
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from warnings import warn

from lightning_liver.data.address import is_address, is_mirrored, mirror_of, shown
from lightning_liver.data.mirror import files_below, local
from lightning_liver.errors import LiverError, LiverWarning
from lightning_liver.files import visible_files
from lightning_liver.readers import parsing, read_json

_LITS_LAYOUT = (
    "volume-N.nii and segmentation-N.nii (or .nii.gz) in any folders below it, as Kaggle and CodaLab have them"
)
_UNLABELLED_LAYOUT = "volume-N.nii (or .nii.gz) in any folders below it"
_MSD_LAYOUT = "dataset.json, imagesTr/liver_N.nii.gz and labelsTr/liver_N.nii.gz, as in Task03_Liver"
_MSD_LABELS = {0: "background", 1: "liver", 2: "cancer"}
_LITS_REPEATS = (range(0, 2), range(6, 11))  # same patients, by eye; there may be more
_LITS_MASKS = range(131)  # numbers of the masks of LiTS, and of the Decathlon, which has the same scans

Numbered = Mapping[int, list[Path]]


@dataclass(frozen=True)
class Case:
    """One scan on disk.

    Args:
        name: the number in its file name without leading zeros: "17" for volume-17.nii.
        patient: cases of one patient are never split.
        volume: path of the CT.
        labels: path of the label map, or None.
        problem: reason why the case cannot be read, known before its files are opened, or None.
        part: train, val or test, if the source says so.
        patient_known: the source says whose scan it is; otherwise another case may be of the same patient.
    """

    name: str
    patient: str
    volume: Path
    labels: Path | None
    problem: str | None = None
    part: str | None = None
    patient_known: bool = False


def lits(root: str | Path, *, patients: str | Path | None) -> list[Case]:
    """Find the scans of LiTS anywhere below a folder, sorted by number; a scan without a mask has labels None.

    Args:
        root: a folder above Kaggle's parts (volume_pt1/volume-0.nii, segmentations/segmentation-0.nii) or CodaLab's.
        patients: a CSV with the header case,patient. A case that it does not list is its own patient, but for scans of
            LiTS that are known to be of one patient.

    Raises:
        LiverError: a root that is missing, unreadable or without a pair; an invalid CSV, or one of other cases.
    """
    root = _folder(root, _LITS_LAYOUT)
    files = _files_below(root)
    volumes, masks = _group_by_number(files, "volume-"), _group_by_number(files, "segmentation-")
    _refuse_no_pair(root, volumes, masks, files, _LITS_LAYOUT)
    _warn_test_volumes(root, _group_by_number(files, "test-volume-"))
    return _cases(root, volumes, masks, patients)


def msd(
    root: str | Path,
    *,
    patients: str | Path | None,
    labels: Mapping[str, Any] | None = None,  # earlier runs have none
) -> list[Case]:
    """Find the scans of the Medical Segmentation Decathlon's Task03_Liver, sorted by number; imagesTs has no masks.

    Args:
        root: the folder Task03_Liver, or the one above it.
        patients: as for lits.
        labels: data.labels; None expects the Decathlon's own in dataset.json.

    Raises:
        LiverError: as lits; a dataset.json that is missing, unreadable, has other labels or pairs unequal numbers.
    """
    root = _folder(root, _MSD_LAYOUT)
    files = _files_below(root)
    if root / "dataset.json" not in files and root / "Task03_Liver" / "dataset.json" in files:
        root = root / "Task03_Liver"
        files = [file for file in files if file.is_relative_to(root)]
    listed = _check_dataset_json(root / "dataset.json", own_labels=labels is not None)
    volumes = _group_by_number((file for file in files if file.parent.name in ("imagesTr", "imagesTs")), "liver_")
    masks = _group_by_number((file for file in files if file.parent.name == "labelsTr"), "liver_")
    _refuse_no_pair(root, volumes, masks, files, _MSD_LAYOUT)
    if missing := sorted(listed - volumes.keys()):
        warn(f"{root}: dataset.json lists missing scans: {_ranges(missing)}", LiverWarning, stacklevel=2)
    return _cases(root, volumes, masks, patients)


def unlabelled(root: str | Path) -> list[Case]:
    """Find every volume-N.nii (or .nii.gz) anywhere below a folder, sorted by number; masks are ignored.

    Raises:
        LiverError: a root that is missing, unreadable or without a volume.
    """
    root = _folder(root, _UNLABELLED_LAYOUT, "finetune.target_root")
    volumes = _group_by_number(_files_below(root, "finetune.target_root"), "volume-")
    if not volumes:
        raise LiverError(
            f"{shown(root)}: no volume below it; set finetune.target_root to a folder with {_UNLABELLED_LAYOUT}"
        )
    return [_case(number, str(number), volumes, {}) for number in sorted(volumes)]


def read_patients(path: str | Path) -> dict[str, str]:
    """Read the patient of each case from a CSV with the header case,patient; "007" is case "7".

    Raises:
        LiverError: a missing or unreadable file, another header, a row without two values, a case twice.
    """
    path = Path(path).expanduser()
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = list(csv.reader(stream))
    except OSError as error:
        raise LiverError(f"{path}: cannot be read ({error.strerror}); check data.patients") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise LiverError(f"{path}: expected a CSV in UTF-8 ({error}); save it as one") from None
    header = [cell.strip() for cell in rows[0]] if rows else []
    if header != ["case", "patient"]:
        raise LiverError(f"{path}: expected the header 'case,patient', found {','.join(header)!r}; correct it")
    return _patient_of(path, rows)


def _patient_of(path: Path, rows: list[list[str]]) -> dict[str, str]:
    patient_of: dict[str, str] = {}
    for line, row in enumerate(rows[1:], start=2):
        cells = [cell.strip() for cell in row]
        if not any(cells):
            continue
        if len(cells) != 2 or not all(cells):
            raise LiverError(
                f"{path}, line {line}: expected one case and its patient, as in '17,B', found {','.join(row)!r}"
            )
        case = str(int(cells[0])) if cells[0].isdecimal() else cells[0]
        if case in patient_of:
            raise LiverError(f"{path}, line {line}: case {case} is listed twice; keep one of the lines")
        patient_of[case] = cells[1]
    return patient_of


def _cases(root: Path, volumes: Numbered, masks: Numbered, patients: str | Path | None) -> list[Case]:
    if orphans := sorted(masks.keys() - volumes.keys()):
        warn(f"{root}: masks without a volume are skipped: {_ranges(orphans)}", LiverWarning, stacklevel=3)
    names = [str(number) for number in sorted(volumes)]
    patient_of = {} if patients is None else read_patients(patients)
    known = {name for name in names if name in patient_of}
    if patients is not None and not known:
        raise LiverError(f"{patients}: expected cases among {_ranges(volumes)}; write numbers, as in '17,B'")
    repeats = _repeats(root, volumes, masks, patient_of)
    alone = [name for name in names if name not in patient_of and name not in repeats]
    if patients is not None and alone:
        text = f"unlisted cases count as separate patients: {', '.join(alone)}"
        warn(f"{patients}: {text}", LiverWarning, stacklevel=3)
    taken = set(patient_of.values())
    patient_of |= repeats | {name: f"case-{name}" if name in taken else name for name in alone}
    return [_case(int(name), patient_of[name], volumes, masks, patient_known=name in known) for name in names]


def known_repeats(names: Iterable[str]) -> dict[str, str]:
    """Return the patients of scans volume-N of LiTS that are known to share one, such as 6-10.

    Names with other numbers than those of LiTS are another data set's: then none is known.
    """
    numbered = {
        int(name.removeprefix("volume-")): name for name in names if re.fullmatch(r"volume-\d+", name, re.ASCII)
    }
    if any(number not in _LITS_MASKS for number in numbered):
        return {}
    return {numbered[n]: _ranges(repeat) for repeat in _LITS_REPEATS for n in repeat if n in numbered}


def _files_below(root: Path, option: str = "data.root") -> list[Path]:
    return files_below(root, option) if is_mirrored(root) else list(visible_files(root))


def _folder(root: str | Path, layout: str, option: str = "data.root") -> Path:
    if is_address(root):
        return mirror_of(str(root), option)
    root = Path(root).expanduser()
    try:
        os.scandir(root).close()
    except FileNotFoundError:
        raise LiverError(f"{root}: there is no such folder; set {option} to one with {layout}") from None
    except NotADirectoryError:
        raise LiverError(f"{root}: not a folder; set {option} to a folder with {layout}") from None
    except OSError as error:
        raise LiverError(f"{root}: cannot be read ({error.strerror}); check {option} and its permissions") from None
    return root


def _group_by_number(files: Iterable[Path], prefix: str) -> dict[int, list[Path]]:
    """Group files called prefix + number + .nii or .nii.gz by number; several files of a number are a bad case."""
    pattern = re.compile(re.escape(prefix) + r"(\d+)\.nii(\.gz)?", re.ASCII | re.IGNORECASE)
    numbered: dict[int, list[Path]] = {}
    for file in files:
        if match := pattern.fullmatch(file.name):
            numbered.setdefault(int(match[1]), []).append(file)
    return numbered


def _case(number: int, patient: str, volumes: Numbered, masks: Numbered, *, patient_known: bool = False) -> Case:
    mine = (volumes[number], masks.get(number, []))
    twins = next((files for files in mine if len(files) > 1), None)
    problem = (
        f"{' and '.join(map(str, twins))} have the same number; move one of them out of data.root" if twins else None
    )
    volume, *_ = mine[0]
    labels = mine[1][0] if mine[1] else None
    return Case(str(number), patient, volume, labels, problem, patient_known=patient_known)


def _refuse_no_pair(root: Path, volumes: Numbered, masks: Numbered, files: list[Path], layout: str) -> None:
    if volumes.keys() & masks.keys():
        return
    examples = ", ".join(str(file.relative_to(root)) for file in files[:3])
    found = f"{len(volumes)} volumes ({_ranges(volumes)}) and {len(masks)} masks ({_ranges(masks)})"
    raise LiverError(
        f"{shown(root)}: no volume with its mask among {len(files)} files{f' ({examples}, ...)' if examples else ''}, "
        f"{found}; set data.root to a folder with {layout}"
    )


def _warn_test_volumes(root: Path, tests: Numbered) -> None:
    """Warn of LiTS's test scans, whose numbers start from 0 again and would collide with the others."""
    if tests:
        text = "test-volume-N files are skipped: they have no masks and are numbered separately"
        warn(f"{root}: {text}", LiverWarning, stacklevel=3)


def _repeats(root: Path, volumes: Numbered, masks: Numbered, listed: Mapping[str, str]) -> dict[str, str]:
    """Return the patients of unlisted scans that share one with other scans of LiTS, and warn of it.

    Masks beyond the numbers of LiTS are another data set's. A patient is named by all scans of LiTS, such as 6-10, so
    that it has the same fold whichever of them are there, or as `listed` names one of its scans.
    """
    if any(number not in _LITS_MASKS for number in masks):
        return {}
    patient_of: dict[str, str] = {}
    shared = []
    for repeat in _LITS_REPEATS:
        present = [number for number in repeat if number in volumes]
        unlisted = [number for number in present if str(number) not in listed]
        if len(present) > 1 and unlisted:
            named = {listed[str(number)] for number in present if str(number) in listed}
            patient = named.pop() if len(named) == 1 else _ranges(repeat)
            patient_of |= {str(number): patient for number in unlisted}
            shared.append(_ranges(present))
    if shared:
        text = f"scans {' and '.join(shared)} count as one patient each, as these numbers of LiTS are known to be"
        cure = "there may be more; data.patients, a CSV of case,patient, says otherwise"
        warn(f"{root}: {text}; {cure}", LiverWarning, stacklevel=4)
    return patient_of


def _check_dataset_json(path: Path, *, own_labels: bool) -> set[int]:
    """Check the labels of a dataset.json and return the numbers of its training scans."""
    cure = f"download it again; data.root needs {_MSD_LAYOUT}"
    try:
        content = read_json(local(path), cure)
    except FileNotFoundError:
        raise LiverError(f"{shown(path)}: there is no such file; {cure}") from None
    with parsing(path, cure):
        labels = {int(number): str(name).lower() for number, name in content["labels"].items()}
        pairs = [(_number(pair["image"]), _number(pair["label"])) for pair in content["training"]]
    if labels != _MSD_LABELS and not own_labels:
        raise LiverError(
            f"{path}: expected labels {_MSD_LABELS}, found {labels}; say which are which, as in "
            "data.labels={liver:[1,2],tumour:[2]}"
        )
    if unequal := [pair for pair in pairs if pair[0] != pair[1]]:
        raise LiverError(f"{path}: image {unequal[0][0]} is paired with label {unequal[0][1]}; download it again")
    return {image for image, _ in pairs}


def _number(file: Any) -> int:
    """Return 17 for ./imagesTr/liver_17.nii.gz."""
    return int(Path(file).name.removeprefix("liver_").split(".")[0])


def _ranges(numbers: Iterable[int]) -> str:
    """Format numbers as "0-2, 7"; "none" without any."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs) or "none"
