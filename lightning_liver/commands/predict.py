"""Masks of NIfTI files and DICOM series by the networks of one or several runs."""

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch
from filelock import Timeout
from omegaconf import DictConfig, ListConfig
from tqdm import tqdm

from lightning_liver.build import build
from lightning_liver.commands.batch import Batch
from lightning_liver.commands.ensemble import PredictOptions, ensemble_of
from lightning_liver.errors import LiverError, LiverWarning, PartlyDone
from lightning_liver.files import held_lock, required_path, required_run
from lightning_liver.imageio.hu_values import doubtful_values
from lightning_liver.imageio.nifti import write_labels, write_map
from lightning_liver.imageio.scans import Scan, find_scans
from lightning_liver.inference.network import TrainedNetwork
from lightning_liver.inference.predict_volume import SCALE, Prediction, VolumeOptions, predict_volume
from lightning_liver.metrics.lesion_places import lesion_places
from lightning_liver.metrics.plausibility import doubtful_volumes
from lightning_liver.metrics.volumetry import measure_volumes
from lightning_liver.report.html.batch import preview_of, preview_title, write_batch_report
from lightning_liver.volume import Volume

log = logging.getLogger(__name__)

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Writing:
    """Where and what a prediction writes beside its masks.

    Args:
        dicom_seg: writes a DICOM segmentation object; None writes none.
        preview: draws a picture; None draws none.
    """

    output: Path
    dicom_seg: Callable[..., None] | None
    preview: Callable[..., None] | None


def predict(cfg: DictConfig, folder: Path) -> None:
    """Write a mask of every scan of the input, the tables summary.csv and lesions.csv, and report.html.

    Raises:
        LiverError: nothing could be predicted.
        PartlyDone: some scans could not be read, or some DICOM segmentations made; all else is written.
    """
    runs = [required_run(run) for run in (cfg.run if isinstance(cfg.run, ListConfig) else [cfg.run])]
    given = required_path("input", cfg.input, "a NIfTI file, a DICOM series, or a folder of them")
    output = required_path("output", cfg.output, "a folder for the masks")
    asked: PredictOptions = build(cfg.options, skip_done=cfg["continue"], preview=cfg.preview, report=cfg.report)
    scans = find_scans(given, output=[output])
    if asked.dicom_seg:
        _refuse_dicom_seg(cfg, scans, output)
    networks, options = ensemble_of(cfg, asked, runs, elsewhere=given)
    window_hu = networks[0].normalization.window_hu
    writing = Writing(
        output,
        dicom_seg=build(cfg.dicom_seg) if asked.dicom_seg else None,
        preview=partial(build(cfg.drawing), window_hu=window_hu) if asked.preview else None,
    )
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LiverError(f"output={output}: {error.strerror}; choose another folder") from error
    with _alone_in(output):
        _predict_all(scans, asked, Batch(output, " ".join(map(str, runs))), networks, options, writing)


@contextmanager
def _alone_in(output: Path) -> Iterator[None]:
    """Hold the output folder: two processes would write over each other's rows in its tables.

    Raises:
        LiverError: another process writes there.
    """
    try:
        with held_lock(output / ".predict.lock", timeout_s=0):
            yield
    except Timeout:
        raise LiverError(f"output={output}: another liver-predict writes there; wait for it, or give another") from None


def _predict_all(
    scans: Sequence[Scan],
    asked: PredictOptions,
    batch: Batch,
    networks: Sequence[TrainedNetwork],
    options: VolumeOptions,
    writing: Writing,
) -> None:
    output = batch.output
    failures: list[str] = []
    lacking: list[str] = []
    batch.refuse_others(scans)
    for number, scan in enumerate(scans, start=1):
        if asked.skip_done and batch.has(scan):
            log.info(f"{scan.name}: has a mask, skipped")
            continue
        try:
            _predict_one(scan, f"{number}/{len(scans)}", batch, networks=networks, options=options, writing=writing)
        except PartlyDone as error:
            lacking.append(f"{scan.name}: {error}")
            log.error(lacking[-1])
        except LiverError as error:
            failures.append(f"{scan.name}: {error}")
            log.error(failures[-1])
            batch.add_failed(scan, str(error))
    if asked.report:
        log.info(f"Report: {write_batch_report(output, batch.scans, batch.lesions)}")
    _report_outcome(output, len(scans), failures, lacking)


def _refuse_dicom_seg(cfg: DictConfig, scans: Sequence[Scan], output: Path) -> None:
    if not any(scan.is_dicom for scan in scans):
        raise LiverError(f"options.dicom_seg=true: expected DICOM series, input={cfg.input} has none; leave it out")
    if output.resolve() in {folder.resolve() for scan in scans for folder in (scan.path, scan.path.parent)}:
        raise LiverError(
            f"output={cfg.output}: expected a folder outside of the series, to keep them as they are; give another"
        )


def _predict_one(
    scan: Scan,
    position: str,
    batch: Batch,
    *,
    networks: Sequence[TrainedNetwork],
    options: VolumeOptions,
    writing: Writing,
) -> None:
    """Write all files of a scan, and its row in the table last, so a scan that has one is complete.

    Raises:
        PartlyDone: no DICOM segmentation could be made; all else is written.
    """
    volume, remarks = _read(scan)
    if doubt := doubtful_values(volume.hu):
        if doubt.is_label_map:
            raise LiverError(f"{scan.path}: {doubt.reason}")
        remarks.append(doubt.reason)
    with tqdm(total=len(volume.hu), desc=f"{position} {scan.name}", unit="slice", dynamic_ncols=True) as bar:
        try:
            made = predict_volume(volume, networks, options, progress=bar.update)
        except torch.OutOfMemoryError as error:
            raise LiverError(
                f"{scan.path}: {options.batch_size} slices of {volume.hu.shape[1]} x {volume.hu.shape[2]} do not fit "
                "into the accelerator's memory; try options.batch_size=1, options.tile=512 or trainer=cpu"
            ) from error
    found = measure_volumes(made.labels, volume.spacing_mm)
    remarks += doubtful_volumes(found)
    if not found.liver_ml:
        remarks.append("no liver was found; is it an abdominal CT in HU, and the liver in view?")
    for remark in remarks:
        log.warning(f"{scan.name}: {remark}")
    _write_maps(scan, made, options, volume, writing.output)
    if writing.preview is not None:
        title = preview_title(scan.name, found)
        writing.preview(preview_of(writing.output, scan.name), volume.hu, made.labels, volume.spacing_mm, title=title)
    write_labels(writing.output / scan.mask, made.labels, volume.affine, volume.forms)
    problem = _write_dicom_seg(scan, made, volume, writing, remarks)
    uncertainty = made.mean_uncertainty(options.uncertainty)
    extra = {} if uncertainty is None else {"mean_uncertainty": uncertainty}
    batch.add(scan, found._asdict() | extra, lesion_places(made.labels, volume.spacing_mm, volume.affine), remarks)
    if problem:
        raise PartlyDone(problem)


def _write_dicom_seg(
    scan: Scan, made: Prediction, volume: Volume, writing: Writing, remarks: list[str]
) -> LiverError | None:
    """Write the DICOM segmentation if wanted, add remarks about it, and return why it could not be made."""
    if writing.dicom_seg is None or not scan.is_dicom:
        return None
    path = (writing.output / scan.mask).with_suffix("").with_suffix(".dcm")
    try:
        _, found = _noting(partial(writing.dicom_seg, path, made.labels, volume.affine, scan.path))
    except LiverError as error:
        remarks.append(f"no DICOM segmentation: {error}")
        return error
    for remark in found:
        log.warning(f"{scan.name}: {remark}")
    remarks += found
    return None


def _read(scan: Scan) -> tuple[Volume, list[str]]:
    """Read a scan, and the warnings about it.

    Whatever a library raises becomes a LiverError, so that the other scans are predicted.
    """
    try:
        return _noting(scan.read)
    except LiverError:
        raise
    except Exception as error:
        raise LiverError(f"{scan.path}: {type(error).__name__}: {error}") from error


def _noting(work: Callable[[], _Result]) -> tuple[_Result, list[str]]:
    """Return the result of some work and the texts of its warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", LiverWarning)
        result = work()
    return result, [str(warning.message) for warning in caught if issubclass(warning.category, LiverWarning)]


def _write_maps(scan: Scan, made: Prediction, options: VolumeOptions, volume: Volume, output: Path) -> None:
    stem = scan.mask.removesuffix(".nii.gz")
    for name, probability in made.probabilities.items():
        write_map(output / f"{stem}-{name}-probability.nii.gz", probability, volume.affine, volume.forms, largest=1.0)
    if made.uncertainty is not None and options.uncertainty:
        path = output / f"{stem}-{options.uncertainty}.nii.gz"
        write_map(path, made.uncertainty, volume.affine, volume.forms, largest=SCALE[options.uncertainty])


def _report_outcome(output: Path, count: int, failures: Sequence[str], lacking: Sequence[str]) -> None:
    """Say what was written, and raise if something is missing.

    Args:
        failures: scans without a mask, and why.
        lacking: scans with a mask, but without the DICOM segmentation, and why.
    """
    if not failures and not lacking:
        log.info(f"{count} scan{'s' * (count > 1)} in {output}")
        return
    listed, absent = ("\n".join(f"  {text}" for text in texts) for texts in (failures, lacking))
    without = f"{len(lacking)} of {count} scans have a mask in {output}, but no DICOM segmentation:\n{absent}"
    if not failures:
        raise PartlyDone(without)
    if len(failures) == count:
        raise LiverError(failures[0] if count == 1 else f"None of {count} scans could be predicted:\n{listed}")
    failed = f"{len(failures)} of {count} scans could not be predicted, the others are in {output}:\n{listed}"
    raise PartlyDone("\n".join([failed] + [without] * bool(lacking)))
