"""Scans for prediction: NIfTI files and DICOM series."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from lightning_liver.errors import LiverError
from lightning_liver.files import visible_files
from lightning_liver.imageio.dicom import read_series, series_folders
from lightning_liver.imageio.dicom_facts import SeriesFacts, series_facts
from lightning_liver.imageio.nifti import read_volume
from lightning_liver.volume import Volume

NIFTI = re.compile(r"\.nii(\.gz)?$", re.IGNORECASE)
_MAPS = r"(-(liver-probability|tumour-probability|entropy|margin|mutual_information|variance))?"  # beside masks
_MASK = re.compile(rf"(test-)?segmentation-\d+{_MAPS}|.*-segmentation{_MAPS}|labels?-\d+", re.IGNORECASE)


class Scan(NamedTuple):
    """A file or a folder of a series, and its name, unique in a batch."""

    path: Path
    name: str
    is_dicom: bool

    @property
    def mask(self) -> str:
        """Return the file name of its mask: segmentation-N for volume-N, as in LiTS, else NAME-segmentation."""
        numbered = re.fullmatch(r"volume-(\d+)", self.name)
        return f"segmentation-{numbered[1]}.nii.gz" if numbered else f"{self.name}-segmentation.nii.gz"

    def read(self) -> Volume:
        """Read the scan.

        Raises:
            LiverError: as for the reader of its format.
        """
        return read_series(self.path) if self.is_dicom else read_volume(self.path)

    def facts(self) -> SeriesFacts:
        """Return patient, date and series of a DICOM series; a NIfTI file knows none."""
        return series_facts(self.path) if self.is_dicom else SeriesFacts()


def find_scans(path: Path, *, output: Sequence[Path] = ()) -> list[Scan]:
    """Find a NIfTI file, a DICOM series, or all of them below a folder, without masks and their maps.

    A scan is named as its file or folder; where several would share a name, as its path below the input: p1-ct, p2-ct.

    Args:
        output: folders whose contents are left out, unless the path lies in them.

    Raises:
        LiverError: no scan is found, or two scans would have the same mask name even so.
    """
    if path.is_file():
        return [_nifti(path)]
    if not path.is_dir():
        raise LiverError(f"input={path}: no such file or folder")
    files = [file for file in visible_files(path) if NIFTI.search(file.name)]
    scans = [scan for scan in map(_nifti, files) if not _MASK.fullmatch(scan.name)]
    scans += [Scan(folder, _folder_name(folder), True) for folder in series_folders(path)]
    for folder in output:
        if not _is_in(path, folder):
            scans = [scan for scan in scans if not _is_in(scan.path, folder)]
    if not scans:
        raise LiverError(f"input={path}: expected NIfTI files (.nii, .nii.gz) or a DICOM series, found neither")
    scans = _told_apart(scans, path)
    _refuse_equal_names(scans)
    return sorted(scans, key=lambda scan: (len(scan.name), scan.name))


def _is_in(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())


def _nifti(file: Path) -> Scan:
    if not NIFTI.search(file.name):
        raise LiverError(f"input={file}: expected .nii or .nii.gz; for a DICOM series give the folder")
    return Scan(file, NIFTI.sub("", file.name), False)


def _folder_name(folder: Path) -> str:
    return folder.resolve().name if folder.name in ("", "..") else folder.name


def _told_apart(scans: Sequence[Scan], root: Path) -> list[Scan]:
    """Name scans whose masks would have the same name by their path below the input."""
    counted = Counter(scan.mask.lower() for scan in scans)  # some file systems ignore the case
    return [scan._replace(name=_below(scan, root)) if counted[scan.mask.lower()] > 1 else scan for scan in scans]


def _below(scan: Scan, root: Path) -> str:
    folders = scan.path.relative_to(root).parent.parts
    return "-".join([*folders, scan.name])


def _refuse_equal_names(scans: Sequence[Scan]) -> None:
    counted = Counter(scan.mask.lower() for scan in scans)
    for name, count in counted.items():
        if count > 1:
            these = ", ".join(str(scan.path) for scan in scans if scan.mask.lower() == name)
            raise LiverError(f"{these} would all have the mask {name}; rename them, or predict them one by one")
