"""A synthetic data set in the layout of LiTS, to try everything before (or without) the download.

Nothing in it is copied from a scan. Its ranges were measured on eight LiTS training scans (0-4 and 6-8; 1.5 mm pixels,
HU clipped to [-160, 240], slices with liver only): median liver 85 to 124 HU; median tumour 29 to 73 HU, 30 to 60 below
its liver; median standard deviation in 7x7 pixels of liver 9 to 20 HU, correlated by 0.2 to 0.6 from pixel to pixel;
up to 12 tumours of 6 to 109 mm that are 0.1 % to 32 % of the liver; liver 1400 to 2200 cm3; muscle of the back 53 to 64
HU; tissue of 75 to 135 HU that is not liver 0.5 to 0.7 of the liver's volume. The best two thresholds score a Dice per
case of 0.62 on those livers and 0.05 on their tumours; 0.54 and 0.03 here. Position alone scores 0.68 on those livers,
0.59 here and 0.88 in version 1, see experiments/position.

Options shift it to another domain, as a target of transfer learning: another phase, noise or distance of slices. The
anatomy of a case, tumours included, is the same in every domain.

Scores on it show that a program works, and say nothing about patients.
"""

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import nibabel as nib
import numpy as np
from isal import igzip
from nibabel.orientations import axcodes2ornt, inv_ornt_aff, ornt_transform
from numpy.random import Generator, default_rng
from scipy import ndimage
from tqdm import tqdm

import lightning_liver.data.phantom.first as first
import lightning_liver.data.phantom.second as second
from lightning_liver.data.phantom.canvas import Array, Labels
from lightning_liver.data.phantom.domain import AS_MEASURED, NOISE_HU, Domain
from lightning_liver.data.sources import Case
from lightning_liver.errors import LiverError
from lightning_liver.files import clear_partials, held_lock, refuse_elsewhere, write_whole
from lightning_liver.machine import cores, process_pool
from lightning_liver.readers import read_json
from lightning_liver.types.options import check, number, whole_number
from lightning_liver.volume import Volume, from_canonical

_VERSIONS = {1: first, 2: second}
_MARKED = {1: 2, 2: 3}  # numbers in the folder's marker: the drawing that is now version 1 had a version before it
_TUMOUR_FREE = 8  # one case in eight
_AXCODES = ("LPS", "RAS", "LAS", "RPS", "LPI")
_MARKER = "phantom.json"


def cases(
    root: str | Path,
    *,
    count: int,
    seed: int,
    matrix: int,
    tumour_fraction: float,
    workers: int | None,
    phase: str | None = None,  # defaults, since configs of earlier runs lack these four
    noise_hu: Sequence[float] | None = None,
    slice_mm: float | None = None,
    version: int = 1,
    confined: bool = False,
) -> list[Case]:
    """Return cases 0 to count - 1 of a folder, after drawing those that are missing.

    Args:
        root: folder, created if missing; it may contain only this phantom.
        count: number of scans, 1 to 1000.
        seed, matrix, tumour_fraction: as for render, fixed for a folder.
        phase, noise_hu, slice_mm: of the Domain, fixed for a folder.
        version: of the drawing, fixed for a folder: 2, or 1 as in earlier studies.
        workers: processes that draw; None is one per core, 0 draws in this one.
        confined: refuse a folder that is neither in the cache nor a phantom's: the options are of a run folder.

    Raises:
        LiverError: a number out of range; a folder with other scans or another phantom, or that cannot be written.
    """
    workers = cores() if workers is None else workers
    for name, seen, least, most in (
        ("cases", count, 1, 1000),
        ("phantom_seed", seed, 0, 2**63 - 1),
        ("phantom_version", version, min(_VERSIONS), max(_VERSIONS)),
        ("matrix", matrix, 32, 1024),
        ("workers", workers, 0, 1024),
    ):
        check(f"data.{name}", seen, whole_number(least, most))
    check("data.tumour_fraction", tumour_fraction, number(0.001, 0.3))
    domain = Domain(phase, noise_hu, slice_mm)
    drawing: dict[str, Any] = {"seed": seed, "matrix": matrix, "tumour_fraction": tumour_fraction}
    root = Path(root).expanduser()
    wanted = [_case(root, case) for case in range(count)]
    if confined:
        refuse_elsewhere("data.root", root, root / _MARKER)
    try:
        root.mkdir(parents=True, exist_ok=True)
        with held_lock(root / ".phantom.lock"):
            _claim(root, {**drawing, "version": _MARKED[version], **domain.given()})
            clear_partials(root)
            missing = [case for case in range(count) if not all(path.exists() for path in _paths(root, case))]
            _make(partial(_save, root, **drawing, domain=domain, version=version), missing, workers)
    except OSError as error:
        raise LiverError(f"{root}: cannot be written ({error.strerror}); choose another data.root") from error
    return wanted


def render(
    case: int, *, seed: int, matrix: int, tumour_fraction: float, version: int, domain: Domain = AS_MEASURED
) -> tuple[Volume, Labels]:
    """Render one canonical scan and its labels (0, 1 liver, 2 tumour), which depend on these arguments alone.

    Args:
        case: number of the scan.
        seed: of the whole data set.
        matrix: pixels along a side of a slice. The anatomy and the field of view in millimetres do not depend on it.
        tumour_fraction: median over scans of tumour volume / liver volume; 0.012 is as measured.
        version: of the drawing, 1 or 2.
        domain: scanner and protocol.
    """
    body, scanner, inside, noise = (default_rng([seed, case, stream]) for stream in range(4))
    has_tumour = (case + seed) % _TUMOUR_FREE != _TUMOUR_FREE - 1
    drawing = _VERSIONS[version]
    patient = drawing.draw_patient(body, tumour_fraction if has_tumour else 0.0, domain.phase)
    spacing_mm, axes_mm = drawing.draw_grid(patient, matrix, scanner, domain.slice_mm)
    hu, labels = drawing.draw(axes_mm, patient, inside)
    hu += _draw_noise(hu.shape, spacing_mm[2], noise, domain.noise_hu or NOISE_HU)
    voxels = np.clip(np.rint(hu), -1024, 3071).astype(np.int16)
    return Volume(voxels, spacing_mm, _draw_affine(voxels.shape, spacing_mm, scanner)), labels


def _draw_noise(shape: tuple[int, ...], pixel_mm: float, rng: Generator, sd_range_hu: Sequence[float]) -> Array:
    """Draw noise of the reconstruction kernel's width, correlated between slices, stronger in the centre."""
    low, high = sd_range_hu
    sd_hu, kernel_mm = np.exp(rng.uniform(np.log(low), np.log(high))), rng.uniform(0.65, 1.05)
    grain = rng.standard_normal(shape, np.float32)
    for plane in grain:
        cv2.GaussianBlur(plane, (0, 0), kernel_mm / pixel_mm, dst=plane)
    grain = ndimage.correlate1d(grain, (0.2, 1.0, 0.2), axis=0)
    y, x = np.meshgrid(*(np.linspace(-1, 1, n, dtype=np.float32) for n in shape[1:]), indexing="ij")
    return grain * np.float32(sd_hu / grain.std()) * (1.1 - 0.4 * (x * x + y * y))


def _draw_affine(shape: tuple[int, ...], spacing_mm: tuple[float, float, float], rng: Generator) -> np.ndarray:
    """Draw the RAS+ affine of a file stored in one of several orientations."""
    z, y, x = spacing_mm
    canonical = np.diag([-x, -y, z, 1.0])
    canonical[:3, 3] = np.rint(rng.uniform((150, 150, -900), (220, 220, 100)))
    way = ornt_transform(axcodes2ornt(("L", "P", "S")), axcodes2ornt(tuple(rng.choice(_AXCODES))))
    return np.asarray(canonical @ inv_ornt_aff(way, shape[::-1]))


def _claim(root: Path, content: dict[str, Any]) -> None:
    """Mark the folder as this phantom's, or refuse a folder with anything else."""
    marker = root / _MARKER
    found = read_json(marker, "delete the folder or choose another data.root") if marker.exists() else None
    if found is None and (other := next((file for file in root.rglob("*.nii*")), None)):
        raise LiverError(f"{root}: holds {other.name} but no {_MARKER}, so it is no phantom; choose another data.root")
    if found not in (None, content):
        raise LiverError(f"{root}: holds a phantom of {found}, not of {content}; choose another data.root or delete it")
    if found is None:
        write_whole(marker, json.dumps(content))


def _case(root: Path, case: int) -> Case:
    labels, volume = _paths(root, case)
    return Case(name=str(case), patient=str(case), volume=volume, labels=labels, patient_known=True)


def _paths(root: Path, case: int) -> tuple[Path, Path]:
    """Return labels and volume, in the order of writing: an existing volume has its labels."""
    return root / f"segmentation-{case}.nii.gz", root / f"volume-{case}.nii.gz"


def _make(save: "partial[None]", missing: list[int], workers: int) -> None:
    with tqdm(total=len(missing), desc="phantom", unit="case", dynamic_ncols=True, disable=not missing) as bar:
        for _ in _results(save, missing, min(workers, len(missing))):
            bar.update()


def _results(save: "partial[None]", missing: list[int], workers: int) -> Iterator[None]:
    if workers == 0:
        yield from map(save, missing)
        return
    with process_pool(workers) as pool:
        try:
            for future in as_completed([pool.submit(save, case) for case in missing]):
                yield future.result()
        except BrokenProcessPool:
            text = "a worker process was killed, most likely out of memory; use fewer: data.workers=1"
            raise LiverError(f"{text} (finished cases are kept)") from None
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _save(
    root: Path, case: int, *, seed: int, matrix: int, tumour_fraction: float, domain: Domain, version: int
) -> None:
    cv2.setNumThreads(1)
    volume, labels = render(
        case, seed=seed, matrix=matrix, tumour_fraction=tumour_fraction, domain=domain, version=version
    )
    for path, voxels in zip(_paths(root, case), (labels, volume.hu), strict=True):
        stored = from_canonical(voxels, volume.affine).transpose(2, 1, 0)
        image = nib.Nifti1Image(stored, volume.affine)
        image.header.set_xyzt_units("mm")
        write_whole(path, igzip.compress(image.to_bytes(), 1, mtime=0))
