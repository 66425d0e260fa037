"""DICOM files of a folder: which are slices of a CT, and reading of their headers."""

import logging
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from warnings import warn

from pydicom import Dataset, dcmread
from pydicom.filereader import read_dataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    EnhancedCTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    LegacyConvertedEnhancedCTImageStorage,
)

from lightning_liver.errors import LiverError, LiverWarning
from lightning_liver.imageio.limits import MOST_UNPACKED

_PREAMBLE = 128  # bytes before the mark of a DICOM file, PS3.10 section 7.1
_MARK = b"DICM"
_FIRST_GROUPS = (b"\x02\x00", b"\x08\x00")  # of files without preamble: they start with one of these
_ENDINGS = (".dcm", ".dicom", ".ima")
_CT = (CTImageStorage, EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage)
_NO_SCANS = ("SEG", "RTSTRUCT", "RTPLAN", "RTDOSE", "SR", "PR", "KO", "REG", "FID")  # modalities derived from images
_KIND = ["SOPClassUID", "Modality", "ImageType", "Rows", "Columns", "ImagePositionPatient"]
_CHUNK = 1 << 20
_MOST_LISTED = 4

Headers = Mapping[Path, Dataset]


@contextmanager
def quiet() -> Iterator[None]:
    """Silence remarks of the libraries on every value and every slice; errors and our own warnings pass."""
    levels = {log: log.level for log in map(logging.getLogger, ("highdicom", "pydicom"))}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("always", LiverWarning)
        for log in levels:
            log.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for log, level in levels.items():
                log.setLevel(level)


def list_entries(folder: Path) -> list[Path]:
    """List the visible entries of a folder, sorted.

    Raises:
        LiverError: no folder, or an unreadable one.
    """
    if not folder.is_dir():
        raise LiverError(f"{folder}: no such folder; give the folder of a DICOM series, or one that holds such folders")
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise LiverError(f"{folder}: cannot be read ({error.strerror}); check its permissions and the disk") from None


def read_dicom(path: Path, **reading: Any) -> Dataset:
    """Read a DICOM file, also one without preamble.

    Args:
        reading: options of pydicom.dcmread.

    Raises:
        LiverError: a deflated file that unpacks to more than MOST_UNPACKED.
        Exception: of many kinds, on damaged files.
    """
    _refuse_large_unpacked(path)
    return dcmread(path, force=True, **reading)


def syntax_of(header: Dataset) -> UID:
    """Return the transfer syntax of a file; where it names none, the one that its bytes show."""
    if named := header.file_meta.get("TransferSyntaxUID"):
        return UID(str(named))
    is_implicit, is_little_endian = header.original_encoding
    if is_implicit:
        return ImplicitVRLittleEndian
    return ExplicitVRLittleEndian if is_little_endian else ExplicitVRBigEndian


def is_dicom(path: Path) -> bool:
    """Return True for a DICOM file, except DICOMDIR, the table of contents of a medium.

    A file without the mark of DICOM is one if an image's size and kind are found in it.

    Raises:
        LiverError: the file cannot be read.
    """
    if not path.is_file() or path.stem.upper() == "DICOMDIR":
        return False
    try:
        with path.open("rb") as stream:
            start = stream.read(_PREAMBLE + len(_MARK))
    except OSError as error:
        raise LiverError(f"{path}: cannot be read ({error.strerror}); check its permissions and the disk") from None
    return start[_PREAMBLE:] == _MARK or (start[:2] in _FIRST_GROUPS and _is_image(path))


def refuse_false_name(path: Path) -> None:
    """Refuse a file that is named as DICOM but is none: a damaged slice must not be left out."""
    if path.suffix.lower() in _ENDINGS and path.stem.upper() != "DICOMDIR":
        raise LiverError(
            f"{path}: named as DICOM, but without the mark of a DICOM file ({path.stat().st_size} bytes); "
            "copy it again, or remove it if it is none of the series"
        )


def is_slice(header: Dataset) -> bool:
    """Return True for an image of a CT; False for a scout, a screenshot, a report, a segmentation, another modality."""
    if not has_pixels(header) or "LOCALIZER" in image_type(header):
        return False
    if header.get("SOPClassUID") in _CT or not header.get("SOPClassUID"):
        return is_ct(header)
    return header.get("Modality") == "CT" and "ImagePositionPatient" in header  # as some converters write them


def is_ct(header: Dataset) -> bool:
    """Return True for the modality CT, and for a CT's kind of object that names none."""
    modality = header.get("Modality")
    return modality == "CT" or (not modality and header.get("SOPClassUID") in _CT)


def has_pixels(header: Dataset) -> bool:
    return bool(header.get("Rows")) and bool(header.get("Columns"))


def image_type(header: Dataset) -> str:
    return str(header.get("ImageType") or "").upper()


def kind_of(header: Dataset) -> str:
    """Return what a file holds, in words."""
    if "LOCALIZER" in image_type(header):
        return "localizer"
    try:
        sop_class = header.get("SOPClassUID") or header.file_meta.get("MediaStorageSOPClassUID")
    except NotImplementedError:  # of a damaged element, which pydicom converts on access
        sop_class = None
    name = str(getattr(sop_class, "name", sop_class) or "no SOP class")  # a damaged one has several values
    return f"{name}, {header.get('Modality') or 'no modality'}"


def is_slice_file(path: Path) -> bool:
    """Return True if a path is a DICOM file of a slice, or a damaged one, which read_headers refuses."""
    return _is_a(path, is_slice)


def is_scan_file(path: Path) -> bool:
    """Return True if a path is a DICOM file of any image, or a damaged one: not a report or a table of contents."""
    return _is_a(path, _is_scan)


def find_folders(root: Path) -> tuple[list[Path], list[Path]]:
    """Find the folders with slices of a CT, and those with other DICOM images: the root and all below, sorted.

    Links are followed, but no folder is entered twice. A folder without any image is in neither list.

    Raises:
        LiverError: the root is no folder, or a folder cannot be read.
    """
    slices, others = [], []
    for folder, inside in _folders(Path(root)):
        if any(is_slice_file(path) for path in inside):
            slices.append(folder)
        elif any(is_scan_file(path) for path in inside):
            others.append(folder)
    return sorted(slices), sorted(others)


def warn_left_out(folder: Path, headers: Headers, slices: Headers) -> None:
    """Warn of files beside the slices of a CT.

    Raises:
        LiverError: a file of the slices' own series that is neither a slice nor a scout, as a damaged slice is.
    """
    series = {str(header.get("SeriesInstanceUID") or "") for header in slices.values()} - {""}
    for path, header in headers.items():
        if str(header.get("SeriesInstanceUID")) in series and "LOCALIZER" not in image_type(header):
            raise LiverError(
                f"{path}: of the CT's series, but no slice ({kind_of(header)}); copy or export the file again, or "
                "remove it if it is none"
            )
    by_kind: dict[str, list[str]] = {}
    for path, header in headers.items():
        by_kind.setdefault(kind_of(header), []).append(path.name)
    if by_kind:
        seen = "; ".join(f"{kind}: {_listed(names)}" for kind, names in list(by_kind.items())[:_MOST_LISTED])
        warn(
            f"{folder}: {len(headers)} DICOM files are no slices of a CT and are left out ({seen})",
            LiverWarning,
            stacklevel=4,
        )


def _listed(names: list[str]) -> str:
    more = len(names) - _MOST_LISTED
    return ", ".join(names[:_MOST_LISTED]) + (f" and {more} more" if more > 0 else "")


def _folders(root: Path) -> Iterator[tuple[Path, list[Path]]]:
    """Yield a folder and those below with their entries, each once, by its own path if there is one without links."""
    seen: set[Path] = set()
    waiting, links = [root], list[Path]()
    while waiting or links:
        folder = waiting.pop() if waiting else links.pop(0)
        real = folder.resolve()
        if real in seen:
            continue
        seen.add(real)
        inside = list_entries(folder)
        yield folder, inside
        for path in inside:
            if path.is_dir():
                (links if path.is_symlink() else waiting).append(path)


def _is_scan(header: Dataset) -> bool:
    return has_pixels(header) and header.get("Modality") not in _NO_SCANS


def _is_a(path: Path, kind: Callable[[Dataset], bool]) -> bool:
    if not is_dicom(path):
        return False
    try:
        return kind(read_dicom(path, stop_before_pixels=True, specific_tags=_KIND))
    except Exception:  # on damaged files pydicom raises many kinds of exceptions, and read_headers says what is wrong
        return True


def _is_image(path: Path) -> bool:
    try:
        header = dcmread(path, force=True, stop_before_pixels=True, specific_tags=_KIND)
        return has_pixels(header) and bool(header.get("SOPClassUID"))
    except Exception:  # on bytes that are none of DICOM pydicom raises many kinds of exceptions
        return False


def _refuse_large_unpacked(path: Path) -> None:
    """Count what a deflated file unpacks to, without keeping it."""
    with path.open("rb") as stream:
        if stream.read(_PREAMBLE + len(_MARK))[_PREAMBLE:] != _MARK:
            return  # without the mark pydicom finds no transfer syntax
        meta = read_dataset(stream, False, True, stop_when=lambda tag, *_: tag.group != 2)
        if meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
            return
        unpacker, count = zlib.decompressobj(-zlib.MAX_WBITS), 0
        while packed := unpacker.unconsumed_tail or stream.read(_CHUNK):
            count += len(unpacker.decompress(packed, _CHUNK << 3))
            if count > MOST_UNPACKED:
                raise LiverError(
                    f"{path}: {path.stat().st_size} bytes that unpack to more than {MOST_UNPACKED} (deflated); "
                    "it is damaged or no scan: leave it out, or export it without deflation"
                )
