"""Masks of NIfTI files and DICOM series by the networks of one or several runs."""

import csv
import logging
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, ListConfig
from pydantic.dataclasses import dataclass
from tqdm import tqdm

from lightning_liver.build import build
from lightning_liver.errors import LiverError, LiverWarning, PartlyDone
from lightning_liver.files import required_path, required_run
from lightning_liver.imageio.nifti import write_labels, write_map
from lightning_liver.imageio.scans import Scan, find_scans
from lightning_liver.inference.fusion import fuse
from lightning_liver.inference.network import TrainedNetwork
from lightning_liver.inference.predict_volume import AUTOCAST, SCALE, Prediction, VolumeOptions, predict_volume
from lightning_liver.inference.tta import flips_for
from lightning_liver.inference.uncertainty import Kind, check_uncertainty, has_dropout
from lightning_liver.metrics.volumetry import measure_volumes
from lightning_liver.runs.trained import decision_of, read_run
from lightning_liver.tables import write_csv
from lightning_liver.training.settings import TrainerOptions, resolve_auto
from lightning_liver.types.options import BelowOne, Closed, Count, Natural, Positive, Side
from lightning_liver.volume import Volume

log = logging.getLogger(__name__)

SUMMARY = "summary.csv"


@dataclass(frozen=True, config=Closed)
class PredictOptions:
    """Options of conf/predict.yaml, checked before anything is read.

    Args:
        batch_size: slices at once.
        coarse_mm: see inference.predict_volume.VolumeOptions.
        tile: edge in pixels of the tiles that larger slices are cut into; None takes them whole.
        overlap: fraction of a tile that its neighbour covers, too.
        uncertainty: the map that is written beside each mask, see inference.uncertainty.
        passes: with dropout, for the map of uncertainty.
        probabilities: write maps of them, too.
        dicom_seg: of a DICOM series, write a segmentation object, too.
        skip_done: skip scans that have a mask.
    """

    batch_size: Count
    coarse_mm: Positive | None
    tile: Side | None
    overlap: BelowOne
    uncertainty: Kind | None
    passes: Natural
    probabilities: bool
    dicom_seg: bool
    skip_done: bool


def predict(cfg: DictConfig, folder: Path) -> None:
    """Write a mask of every scan of the input, and summary.csv with the volumes of liver and tumour.

    Raises:
        LiverError: nothing could be predicted.
        PartlyDone: some scans could not be read; the others are predicted.
    """
    runs = [required_run(run) for run in (cfg.run if isinstance(cfg.run, ListConfig) else [cfg.run])]
    given = required_path("input", cfg.input, "a NIfTI file, a DICOM series, or a folder of them")
    output = required_path("output", cfg.output, "a folder for the masks")
    asked: PredictOptions = build(cfg.options, skip_done=cfg["continue"])
    scans = find_scans(given, output=output)
    if asked.dicom_seg:
        _refuse_dicom_seg(cfg, scans, output)
    networks, options = _networks_and_options(cfg, asked, runs)
    write_dicom_seg = build(cfg.dicom_seg) if asked.dicom_seg else None
    predict_one = partial(
        _predict_one, networks=networks, options=options, output=output, write_dicom_seg=write_dicom_seg
    )
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LiverError(f"output={output}: {error.strerror}; choose another folder") from error
    rows, failures = _read_summary(output), []
    for number, scan in enumerate(scans, start=1):
        if asked.skip_done and scan.name in rows and (output / scan.mask).exists():
            log.info(f"{scan.name}: has a mask, skipped")
            continue
        try:
            rows[scan.name] = {"case": scan.name, **predict_one(scan, f"{number}/{len(scans)}")}
        except LiverError as error:
            failures.append(f"{scan.name}: {error}")
            log.error(failures[-1])
            continue
        write_csv(output / SUMMARY, list(rows.values()))
    _report_outcome(output, len(scans), failures)


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
    *,
    networks: Sequence[TrainedNetwork],
    options: VolumeOptions,
    output: Path,
    write_dicom_seg: Callable[..., None] | None,
) -> dict[str, Any]:
    """Return the row of the summary; the mask is written last, so a scan that has one is complete."""
    volume = _read(scan)
    with tqdm(total=len(volume.hu), desc=f"{position} {scan.name}", unit="slice", dynamic_ncols=True) as bar:
        try:
            made = predict_volume(volume, networks, options, progress=bar.update)
        except torch.OutOfMemoryError as error:
            raise LiverError(
                f"{scan.path}: {options.batch_size} slices of {volume.hu.shape[1]} x {volume.hu.shape[2]} do not fit "
                "into the accelerator's memory; try options.batch_size=1, options.tile=512 or trainer=cpu"
            ) from error
    found = measure_volumes(made.labels, volume.spacing_mm)
    if not found.liver_ml:
        log.warning(f"{scan.name}: no liver was found. Is it an abdominal CT in HU, and the liver in view?")
    _write_maps(scan, made, options, volume, output)
    if write_dicom_seg is not None and scan.is_dicom:
        path = (output / scan.mask).with_suffix("").with_suffix(".dcm")
        write_dicom_seg(path, made.labels, volume.affine, scan.path)
    write_labels(output / scan.mask, made.labels, volume.affine)
    uncertainty = made.mean_uncertainty(options.uncertainty)
    return {**found._asdict(), **({} if uncertainty is None else {"mean_uncertainty": uncertainty})}


def _read(scan: Scan) -> Volume:
    """Read a scan; whatever a library raises becomes a LiverError, so that the other scans are predicted."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", LiverWarning)
        try:
            volume = scan.read()
        except LiverError:
            raise
        except Exception as error:
            raise LiverError(f"{scan.path}: {type(error).__name__}: {error}") from error
    for warning in caught:
        if issubclass(warning.category, LiverWarning):
            log.warning(str(warning.message))
    return volume


def _write_maps(scan: Scan, made: Prediction, options: VolumeOptions, volume: Volume, output: Path) -> None:
    stem = scan.mask.removesuffix(".nii.gz")
    for name, probability in made.probabilities.items():
        write_map(output / f"{stem}-{name}-probability.nii.gz", probability, volume.affine, largest=1.0)
    if made.uncertainty is not None and options.uncertainty:
        path = output / f"{stem}-{options.uncertainty}.nii.gz"
        write_map(path, made.uncertainty, volume.affine, largest=SCALE[options.uncertainty])


def _networks_and_options(
    cfg: DictConfig, asked: PredictOptions, folders: Sequence[Path]
) -> tuple[list[TrainedNetwork], VolumeOptions]:
    if not folders:
        raise LiverError("run=[]: expected a run folder, or several; give run=RUN_FOLDER")
    trainer = resolve_auto(build(cfg.trainer))
    if trainer.threads is not None:
        torch.set_num_threads(trainer.threads)
    read = partial(read_run, statistics=cfg.statistics, elsewhere=Path(str(cfg.input)).expanduser())
    networks = [_made_ready(read(folder), trainer) for folder in folders]
    decisions = [decision_of(cfg.inference, run, folder) for run, folder in zip(networks, folders, strict=True)]
    liver, tumour = (sum(values) / len(decisions) for values in zip(*(one[0] for one in decisions), strict=True))
    if len({one[1] for one in decisions}) > 1:
        raise LiverError(
            "run: these runs post-process differently; choose how, as in inference.postprocess.largest_liver=true"
        )
    flips = cfg.inference.flips if cfg.inference.flips is not None else networks[0].config.inference.get("flips")
    options = VolumeOptions(
        thresholds=(liver, tumour),
        post_process=decisions[0][1],
        batch_size=asked.batch_size,
        coarse_mm=asked.coarse_mm,
        flips=flips_for(flips),
        tile=asked.tile,
        overlap=asked.overlap,
        uncertainty=asked.uncertainty,
        passes=asked.passes,
        probabilities=asked.probabilities,
        autocast=_autocast(trainer),
        device=torch.device(trainer.accelerator),
    )
    views = len(networks) * (options.passes or len(options.flips))
    dropout = all(has_dropout(trained.network) for trained in networks)
    check_uncertainty(options.uncertainty, options.passes, views=views, dropout=dropout)
    return networks, options


def _made_ready(trained: TrainedNetwork, trainer: TrainerOptions) -> TrainedNetwork:
    """Fuse the network in place and move it to the device."""
    network = fuse(trained.network)
    if trainer.channels_last is not False:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    network.to(trainer.accelerator)
    return trained


def _autocast(trainer: TrainerOptions) -> torch.dtype | None:
    if trainer.precision not in AUTOCAST:
        raise LiverError(f"trainer.precision={trainer.precision}: expected one of {', '.join(AUTOCAST)}")
    return AUTOCAST[trainer.precision]


def _read_summary(output: Path) -> dict[str, dict[str, Any]]:
    path = output / SUMMARY
    if not path.exists():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        return {row["case"]: dict(row) for row in csv.DictReader(file) if row.get("case")}


def _report_outcome(output: Path, count: int, failures: Sequence[str]) -> None:
    if not failures:
        log.info(f"{count} scan{'s' * (count > 1)} in {output}")
        return
    listed = "\n".join(f"  {text}" for text in failures)
    if len(failures) == count:
        raise LiverError(failures[0] if count == 1 else f"None of {count} scans could be predicted:\n{listed}")
    raise PartlyDone(f"{len(failures)} of {count} scans could not be predicted, the others are in {output}:\n{listed}")
