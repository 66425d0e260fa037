"""Checks that a folder of DICOM files is one CT series."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path

from pydicom import Dataset
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
)

from lightning_liver.errors import LiverError
from lightning_liver.imageio.dicom_files import Headers, has_pixels, image_type, is_ct, kind_of, syntax_of

_MOST_LISTED = 4
# gdcm instead of pylibjpeg-libjpeg, which reads the same but is GPL
_GDCM = (
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    JPEG2000,
    JPEG2000Lossless,
)
_OPENJPEG = (HTJ2K, HTJ2KLossless, HTJ2KLosslessRPCL)
_CURES = dict.fromkeys(_GDCM, "pip install python-gdcm") | dict.fromkeys(
    _OPENJPEG, "pip install pylibjpeg pylibjpeg-openjpeg"
)

Predicate = Callable[[Dataset], bool]
Text = Callable[[Dataset], str]


def refuse_mixture(folder: Path, headers: Headers) -> None:
    """Refuse a folder that is not one CT series of equal images whose pixels can be decoded.

    Raises:
        LiverError: files of another modality, without pixels, of several patients or series, localizers, images of
            another size, in colour or in the upper bits, compressed images without an installed decoder.
    """
    _refuse_where(folder, headers, lambda header: not is_ct(header), "not CT", _modality)
    _refuse_where(folder, headers, lambda header: not has_pixels(header), "without pixel data", kind_of)
    _refuse_several(folder, headers, "patients", _patient, _patient)
    _refuse_where(folder, headers, lambda header: "LOCALIZER" in image_type(header), "localizers", _series_name)
    _refuse_several(folder, headers, "series", _series, _series_name)
    _refuse_where(folder, headers, _has_upper_bits, "stored in the upper bits of their pixels", _bits)
    refuse_minority(folder, {path.name: _size(header) for path, header in headers.items()}, "size")
    _refuse_undecodable(folder, headers)


def refuse_minority(folder: Path, seen: Mapping[str, str], what: str) -> None:
    """Refuse slices that differ from most others.

    Args:
        seen: the property as text, by slice.
        what: name of the property.
    """
    groups = _groups(seen)
    if len(groups) > 1:
        (usual, names), *others = groups.items()
        raise LiverError(
            f"{folder}: {len(seen) - len(names)} of {len(seen)} slices have another {what} than the others' "
            f"{usual} ({_named(others)}); remove them, or give the series alone"
        )


def _groups(seen: Mapping[str, str]) -> dict[str, list[str]]:
    """Group names by their property, the largest group first."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name, value in seen.items():
        groups[value].append(name)
    return dict(sorted(groups.items(), key=lambda group: -len(group[1])))


def _named(groups: Iterable[tuple[str, list[str]]]) -> str:
    return "; ".join(f"{text}: {_listed(names)}" for text, names in islice(groups, _MOST_LISTED))


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _MOST_LISTED
    return ", ".join(names[:_MOST_LISTED]) + (f" and {more} more" if more > 0 else "")


def _refuse_where(folder: Path, headers: Headers, is_wrong: Predicate, what: str, describe: Text) -> None:
    wrong = {path.name: describe(header) for path, header in headers.items() if is_wrong(header)}
    if wrong:
        raise LiverError(
            f"{folder}: {len(wrong)} of {len(headers)} DICOM files are {what} ({_named(_groups(wrong).items())}); "
            "give a folder with the slices of one CT series alone"
        )


def _refuse_several(folder: Path, headers: Headers, what: str, key: Text, describe: Text) -> None:
    groups = _groups({path.name: key(header) for path, header in headers.items()})
    if len(groups) > 1:
        seen = [(describe(headers[folder / names[0]]), names) for names in groups.values()]
        raise LiverError(f"{folder}: files of {len(groups)} {what} ({_named(seen)}); put each into a folder of its own")


def _refuse_undecodable(folder: Path, headers: Headers) -> None:
    for uid, names in _groups({path.name: str(syntax_of(header)) for path, header in headers.items()}).items():
        if not _is_decodable(uid):
            cure = _CURES.get(UID(uid), "decompress the files with a DICOM tool")
            raise LiverError(
                f"{folder}: {len(names)} files ({_listed(names)}) have the transfer syntax {UID(uid).name}, "
                f"which no installed package decodes; {cure}"
            )


def _is_decodable(syntax: str) -> bool:
    try:
        return get_decoder(syntax).is_available
    except NotImplementedError:
        return False


def _has_upper_bits(header: Dataset) -> bool:
    """Return True for pixels elsewhere than in the lowest bits; PS3.5 section 8.1.1 forbids it, pydicom ignores it."""
    stored, high = header.get("BitsStored"), header.get("HighBit")
    return bool(stored) and high not in (None, "") and int(high) != int(stored) - 1


def _bits(header: Dataset) -> str:
    return f"HighBit {header.HighBit} of {header.BitsStored} bits stored"


def _modality(header: Dataset) -> str:
    return str(header.get("Modality") or "no modality")


def _patient(header: Dataset) -> str:
    return str(header.get("PatientID") or header.get("PatientName") or "no patient")


def _series(header: Dataset) -> str:
    return str(header.get("SeriesInstanceUID"))


def _series_name(header: Dataset) -> str:
    return f"series {header.get('SeriesNumber')} {header.get('SeriesDescription') or 'without description'}"


def _size(header: Dataset) -> str:
    samples = int(header.get("SamplesPerPixel") or 1)
    return f"{header.Rows} x {header.Columns}" + (f" x {samples} colours" if samples > 1 else "")
