"""The store of prepared cases, which training reads.

    <folder>/cases/<name>/hu.b2nd             int16 HU, (z, y, x), one compressed chunk a slice
                          labels.b2nd         uint8 0, 1, 2 on the same grid, where the case has labels
                          native_labels.b2nd  the labels on the scan's own grid, if it differs
                          case.json           the record of the case, written last
    <folder>/manifest.json                    the records of all cases

A case's folder is written under a temporary name and renamed, so an existing case is complete. A record has the
checksums of the case's files, and case.json and manifest.json their own: what was damaged later is never read.
"""

import errno
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import blosc2
import numpy as np
from isal.isal_zlib import crc32
from jaxtyping import Int16, Int64, Shaped

from lightning_liver.data.address import is_mirrored, shown
from lightning_liver.data.mirror import local, publish, reading, refresh, trim
from lightning_liver.errors import LiverError
from lightning_liver.files import write_whole
from lightning_liver.readers import parsing, read_json

FORMAT = 4  # since 4 a record has checksums; since 3 a mask follows its own header where that gives the scan's grid
HU_RANGE = (-1024, 3071)
MANIFEST = "manifest.json"
_BLOCK = 2**20  # bytes that are read at once
_PROBE = 2**24  # bytes, more than a compressed slice
HU_BIN = 4  # width of a bin of CaseRecord.hu_counts
HU_BINS = (HU_RANGE[1] - HU_RANGE[0]) // HU_BIN + 1

_SEAL = "crc32"
_CURE = "run liver-prepare again, with the same options"

Kind = Literal["hu", "labels", "native_labels"]


@dataclass(frozen=True)
class CaseRecord:
    """Record of a case in the manifest. Shapes and spacings are (z, y, x), spacings in mm.

    `hu_counts` is the histogram of HU in bins of HU_BIN from HU_RANGE[0]. `liver_pixels` (tumour included) and
    `tumour_pixels` count per slice on the store's grid; both are empty without labels. `has_tumour` refers to the
    native labels, so that folds do not depend on the grid.
    """

    name: str
    patient: str
    volume: str
    labels: str | None
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    native_shape: tuple[int, int, int]
    native_spacing_mm: tuple[float, float, float]
    affine: list[list[float]]
    liver_pixels: list[int]
    tumour_pixels: list[int]
    has_tumour: bool
    hu_counts: list[int]
    fingerprint: dict[str, Any]
    # earlier stores lack these
    part: str | None = None  # train, val or test, if the source says so
    patient_known: bool = False  # the source says whose scan it is
    warnings: list[str] = field(default_factory=list)  # of the readers of its files
    checksums: dict[str, int] = field(default_factory=dict)  # CRC-32 of each file of the case's folder

    @property
    def labelled(self) -> bool:
        return self.labels is not None


class RefusedCase(NamedTuple):
    """A case that could not be prepared and was left out, with the reason."""

    name: str
    patient: str
    reason: str


@dataclass(frozen=True)
class Store:
    """The cases of one store that a run uses, by name, and those that were refused.

    Args:
        heal: prepares a damaged case anew, given its record and what is wrong; None where its scan is not at hand.
    """

    folder: Path
    cases: Mapping[str, CaseRecord]
    refused: tuple[RefusedCase, ...] = ()
    heal: Callable[[CaseRecord, str], None] | None = field(default=None, compare=False)

    def read(self, name: str, kind: Kind, z: int) -> Shaped[np.ndarray, "y x"]:
        """Read slice `z` of a case, whose files are compared with their checksums once in every process.

        Raises:
            LiverError: the case is damaged and cannot be prepared anew.
        """
        self.check(name)
        path, read = self.path(name, kind), partial(_read_slice, z=int(z))
        return reading(path, read, renew=False) if self._mirrored else read(path)

    @cached_property
    def _mirrored(self) -> bool:
        return is_mirrored(self.folder)

    def check(self, name: str) -> bool:
        """Compare the files of a case with their checksums, unless this process did; prepare a damaged case anew.

        Returns:
            True if the case was whole.

        Raises:
            LiverError: it is damaged and cannot be prepared anew.
        """
        if (self.folder, name) in _checked:
            return True
        fault = self._fault(name)
        if fault is not None and self.heal is None:
            raise LiverError(
                f"{fault}: case {name} is damaged; liver-prepare verify=true, with the data options of the run, "
                "prepares it anew"
            )
        if fault is not None and self.heal is not None:
            self.heal(self.cases[name], fault)
        _checked.add((self.folder, name))
        return fault is None

    def _fault(self, name: str) -> str | None:
        """Return the fault of a case; copies from an address are made anew once, before they count as damaged."""
        record = self.cases[name]
        if not self._mirrored:
            return fault_of(self.folder, record)
        copies = [case_folder(self.folder, name) / file for file in record.checksums]
        for attempt in range(2):
            with suppress(FileNotFoundError):  # fault_of names it
                for path in copies:
                    local(path, renew=attempt > 0)
            if (fault := fault_of(self.folder, record)) is None:
                return None
            for path in copies:
                path.unlink(missing_ok=True)
        return fault

    def path(self, name: str, kind: Kind) -> Path:
        record = self.cases[name]
        if kind == "native_labels" and record.native_shape == record.shape:
            kind = "labels"
        return case_folder(self.folder, name) / f"{kind}.b2nd"

    def labelled(self) -> list[str]:
        return [name for name, record in self.cases.items() if record.labelled]


def case_folder(folder: Path, name: str) -> Path:
    return folder / "cases" / name


def _read_slice(path: Path, z: int) -> Shaped[np.ndarray, "y x"]:
    array = _open(str(path))
    pixels: np.ndarray = np.empty(array.shape[1:], array.dtype)
    array.schunk.decompress_chunk(z, dst=pixels)  # a chunk is a slice: array[z] takes twice as long
    return pixels


@lru_cache(maxsize=32)  # bounded, and not mapped into memory, which would grow with the number of cases
def _open(path: str) -> Any:
    return blosc2.open(path, mode="r", dparams={"nthreads": 1})


_checked: set[tuple[Path, str]] = set()  # folders and names of cases that this process compared


def forget_open_arrays() -> None:
    """Close open arrays, after a case was rebuilt."""
    _open.cache_clear()
    _checked.clear()


def checksum(path: Path) -> int:
    """Return the CRC-32 of a file; it reads 3.6 GB/s, a checksum of cryptography a tenth of that."""
    value = 0
    with path.open("rb", buffering=0) as file:
        while block := file.read(_BLOCK):
            value = crc32(block, value)
    return value


def fault_of(folder: Path, record: CaseRecord) -> str | None:
    """Return which file of a case is not as it was written, and why; None if all are."""
    for name, expected in record.checksums.items():
        path = case_folder(folder, record.name) / name
        try:
            if checksum(path) != expected:
                return f"{path} is not as it was written"
        except OSError as error:
            return f"{path} cannot be read ({error.strerror})"
    return None


class SliceWriter:
    """Writer of compressed slices, one chunk each: going through an array in memory would take twice as long.

    Raises:
        OSError: from every method, if the file cannot be written.
    """

    def __init__(self, path: Path, shape: tuple[int, int, int], dtype: type[np.generic]):
        self.path = path
        cparams = {"codec": blosc2.Codec.LZ4, "clevel": 5, "filters": [blosc2.Filter.SHUFFLE], "nthreads": 1}
        chunk = (1, *shape[1:])
        with _explaining_failure(path):
            self.array = blosc2.empty(
                shape, dtype=dtype, chunks=chunk, blocks=chunk, cparams=cparams, urlpath=str(path), mode="w"
            )

    def put(self, z: int, pixels: Shaped[np.ndarray, "y x"]) -> None:
        with _explaining_failure(self.path):
            self.array.schunk.update_data(z, pixels, True)


@contextmanager
def _explaining_failure(path: Path) -> Iterator[None]:
    """Raise the reason if blosc2 cannot write a file, which it does not name: writing another file beside it does."""
    try:
        yield
    except RuntimeError as error:
        with path.with_suffix(".probe").open("wb") as probe:
            probe.write(bytes(_PROBE))
        raise OSError(errno.EIO, f"{path}: {error}") from error


def read_record(folder: Path, name: str) -> CaseRecord | None:
    """Read the record of a case; None if there is no such case, or its record is damaged."""
    try:
        return parse_record(_read_sealed(case_folder(folder, name) / "case.json"))
    except (LiverError, TypeError, KeyError):
        return None


def parse_record(fields: dict[str, Any]) -> CaseRecord:
    triples = ("shape", "spacing_mm", "native_shape", "native_spacing_mm")
    return CaseRecord(**(fields | {key: tuple(fields[key]) for key in triples}))


def put_case(folder: Path, staged: Path, record: CaseRecord) -> None:
    """Move a staged case folder to its place, and write it to the address of a mirrored store, `case.json` last.

    Raises:
        OSError: the folder cannot be written.
        LiverError: the address cannot be written.
    """
    final = case_folder(folder, record.name)
    if is_mirrored(folder):
        for name in record.checksums:
            publish(final / name, staged=staged / name)
    _replace_case(staged, final, record)
    if is_mirrored(folder):
        publish(final / "case.json")
        trim(keep=final / "hu.b2nd")


def _replace_case(staged: Path, final: Path, record: CaseRecord) -> None:
    (staged / "case.json").write_text(_sealed(vars(record)))
    final.parent.mkdir(parents=True, exist_ok=True)
    if final.exists():
        shutil.rmtree(final)
    staged.rename(final)


def write_manifest(folder: Path, records: Iterable[CaseRecord]) -> None:
    """Write manifest.json whole, and only if it changes."""
    content = _sealed({"format": FORMAT, "cases": {record.name: vars(record) for record in records}}).encode()
    path = folder / MANIFEST
    if not path.exists() or path.read_bytes() != content:
        write_whole(path, content)


def _sealed(content: Mapping[str, Any]) -> str:
    """Return JSON with a checksum of the rest of it."""
    return json.dumps({**content, _SEAL: crc32(json.dumps(content).encode())})


def _read_sealed(path: Path) -> dict[str, Any]:
    content = read_json(path, _CURE)
    with parsing(path, _CURE):
        seal = content.pop(_SEAL, None)
        if content.get("format", FORMAT) == FORMAT and seal != crc32(json.dumps(content).encode()):
            raise ValueError("it is not as it was written")
    return content


def open_store(folder: Path) -> Store:
    """Open a store by its manifest.

    Raises:
        LiverError: there is no manifest, or it is damaged or has another format.
    """
    if is_mirrored(folder):
        refresh(folder, MANIFEST)
    path = folder / MANIFEST
    if not path.exists():
        raise LiverError(f"{shown(folder)}: expected a store with a manifest.json; make one with liver-prepare")
    manifest = _read_sealed(path)
    if manifest.get("format") != FORMAT:
        raise LiverError(f"{path}: expected format {FORMAT}, found {manifest.get('format')}; run liver-prepare again")
    with parsing(path, _CURE):
        return Store(folder, {name: parse_record(fields) for name, fields in manifest["cases"].items()})


def hu_histogram(pixels: Int16[np.ndarray, "y x"]) -> Int64[np.ndarray, " bins"]:
    """Count a slice's HU, which lie in HU_RANGE, in bins of HU_BIN."""
    return np.bincount(((pixels - np.int16(HU_RANGE[0])) // np.int16(HU_BIN)).ravel(), minlength=HU_BINS)


def intensity(records: Iterable[CaseRecord], window_hu: tuple[float, float]) -> tuple[float, float]:
    """Return mean and standard deviation of the windowed intensities in [0, 1] over all voxels of these cases."""
    counts = np.sum([record.hu_counts for record in records], axis=0).astype(np.float64)
    centres = HU_RANGE[0] + HU_BIN * (np.arange(len(counts)) + 0.5)
    low, high = window_hu
    values = (np.clip(centres, low, high) - low) / (high - low)
    mean = float(np.average(values, weights=counts))
    return mean, float(np.sqrt(np.average((values - mean) ** 2, weights=counts)))
