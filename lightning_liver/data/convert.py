"""Conversion of a scan for the store: read, check, reorient to LPS, resample in plane, compress."""

import errno
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Int16, Int64, UInt8

from lightning_liver.data.address import address_of, is_mirrored, shown
from lightning_liver.data.mirror import reading, version_of
from lightning_liver.data.resample import grid_shape, resample_hu, resample_labels
from lightning_liver.data.sources import Case
from lightning_liver.data.store import (
    FORMAT,
    HU_BINS,
    HU_RANGE,
    CaseRecord,
    SliceWriter,
    checksum,
    hu_histogram,
    put_case,
)
from lightning_liver.errors import LiverError, LiverWarning
from lightning_liver.imageio.hu_values import doubtful_values
from lightning_liver.imageio.label_values import LITS, LabelValues
from lightning_liver.imageio.nifti import read_labels, read_volume
from lightning_liver.volume import Volume


def fingerprint(case: Case, spacing_mm: float | None, values: LabelValues) -> dict[str, Any]:
    """Return all that a prepared case depends on: its files with sizes and times, the options, the store's format."""
    paths = {"volume": case.volume, "labels": case.labels}
    files: dict[str, Any] = {kind: _facts_of(path) for kind, path in paths.items() if path}
    other_values = {} if case.labels is None or values.as_entry() == LITS.as_entry() else {"values": values.as_entry()}
    return files | {"spacing_mm": spacing_mm, "format": FORMAT} | other_values


def _facts_of(path: Path) -> list[str | int]:
    if is_mirrored(path):
        return [address_of(path), *version_of(path)]
    path = path.resolve()
    return [str(path), path.stat().st_size, path.stat().st_mtime_ns]


def prepare_case(case: Case, folder: Path, spacing_mm: float | None, values: LabelValues = LITS) -> CaseRecord:
    """Read, check and resample one case and put it whole into the store.

    Args:
        values: of liver and tumour in the mask.

    Raises:
        LiverError: the files are invalid, or the disk is full.
    """
    if case.problem:
        raise LiverError(case.problem)
    cv2.setNumThreads(1)
    try:
        made_from = fingerprint(case, spacing_mm, values)
        with _noting() as notes:
            volume = reading(case.volume, read_volume)
            _check_values(case.volume, volume)
            labels = reading(case.labels, partial(read_labels, volume=volume, values=values)) if case.labels else None
        staged = Path(tempfile.mkdtemp(prefix=f".{case.name}-", dir=folder))
        try:
            record = replace(_write(case, volume, labels, staged, spacing_mm, made_from), warnings=notes)
            put_case(folder, staged, record)
        finally:
            shutil.rmtree(staged, ignore_errors=True)
    except OSError as error:
        raise LiverError(_explain_os_error(error, case, folder)) from error
    return record


@contextmanager
def _noting() -> Iterator[list[str]]:
    """Yield the texts of the warnings within, which the record of the case keeps; they are issued again at the end."""
    notes: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", LiverWarning)
        try:
            yield notes
        finally:
            notes += [str(each.message) for each in caught if each.category is LiverWarning]
    for note in notes:
        warnings.warn(note, LiverWarning, stacklevel=4)


def _check_values(path: Path, volume: Volume) -> None:
    """Refuse a label map in place of a scan, and warn of other values that can hardly be HU."""
    doubt = doubtful_values(volume.hu)
    if doubt is not None and doubt.is_label_map:
        raise LiverError(f"{path}: {doubt.reason}")
    if doubt is not None:
        warnings.warn(f"{path}: {doubt.reason}", LiverWarning, stacklevel=2)


def _explain_os_error(error: OSError, case: Case, folder: Path) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"{case.volume}: the disk is full at {folder}; free some space or set data.store to another folder"
    return f"{case.volume}: {error.strerror or error}"


def _write(
    case: Case,
    volume: Volume,
    labels: np.ndarray | None,
    staged: Path,
    spacing_mm: float | None,
    made_from: dict[str, Any],
) -> CaseRecord:
    native = volume.hu.shape
    try:
        shape = grid_shape(native, volume.spacing_mm, spacing_mm)
    except LiverError as error:
        raise LiverError(f"{case.volume}: {error}") from None
    hu_counts = _write_hu(staged / "hu.b2nd", volume.hu, shape)
    counts, has_tumour = np.zeros((2, 0), np.int64), False
    if labels is not None:
        counts = own = _write_labels(staged / "labels.b2nd", labels, shape)
        if shape != native:
            own = _write_labels(staged / "native_labels.b2nd", labels, native)
        has_tumour = bool(own[1].any())
    in_plane = (volume.spacing_mm[axis] * native[axis] / shape[axis] for axis in (1, 2))
    return CaseRecord(
        name=case.name,
        patient=case.patient,
        volume=shown(case.volume),
        labels=shown(case.labels) if case.labels else None,
        shape=shape,
        spacing_mm=(volume.spacing_mm[0], *in_plane),
        native_shape=native,
        native_spacing_mm=volume.spacing_mm,
        affine=np.asarray(volume.affine, float).tolist(),
        liver_pixels=counts[0].tolist(),
        tumour_pixels=counts[1].tolist(),
        has_tumour=has_tumour,
        hu_counts=hu_counts.tolist(),
        fingerprint=made_from,
        checksums={path.name: checksum(path) for path in sorted(staged.glob("*.b2nd"))},
        part=case.part,
        patient_known=case.patient_known,
    )


def _write_hu(path: Path, hu: Int16[np.ndarray, "z y x"], shape: tuple[int, int, int]) -> Int64[np.ndarray, " bins"]:
    """Write a volume slice by slice, each while it is in the cache; return counts of HU on the scan's own grid."""
    writer = SliceWriter(path, shape, np.int16)
    counts = np.zeros(HU_BINS, np.int64)
    for z, pixels in enumerate(hu):
        np.clip(pixels, *HU_RANGE, out=pixels)
        counts += hu_histogram(pixels)
        writer.put(z, resample_hu(np.ascontiguousarray(pixels), shape[1:]))
    return counts


def _write_labels(
    path: Path, labels: UInt8[np.ndarray, "z y x"], shape: tuple[int, int, int]
) -> Int64[np.ndarray, "structure z"]:
    """Write labels slice by slice; return each slice's number of pixels of at least 1 and of at least 2."""
    writer = SliceWriter(path, shape, np.uint8)
    counts = np.zeros((2, shape[0]), np.int64)
    for z, pixels in enumerate(labels):
        resampled = resample_labels(np.ascontiguousarray(pixels), shape[1:])
        writer.put(z, resampled)
        counts[:, z] = np.count_nonzero(resampled), np.count_nonzero(resampled >= 2)
    return counts
