"""Masks for scans: the networks of finished runs, one or several, on NIfTI files and DICOM series."""

import csv
import logging
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import torch
from omegaconf import DictConfig, ListConfig
from pydantic import Field
from pydantic.dataclasses import dataclass
from tqdm import tqdm

from lightning_liver.build import build
from lightning_liver.errors import LiverError, LiverWarning, PartlyDone
from lightning_liver.imageio.nifti import write_labels, write_map
from lightning_liver.imageio.scans import Scan, find_scans
from lightning_liver.inference.fusing import fused
from lightning_liver.inference.postprocess import PostProcess
from lightning_liver.inference.predict_volume import AUTOCAST, SCALE, Member, Options, Prediction, predict_volume
from lightning_liver.inference.thresholds import Thresholds
from lightning_liver.inference.tta import flips_for
from lightning_liver.inference.uncertainty import has_dropout, refuse_certainty
from lightning_liver.metrics.volumetry import measure_volumes
from lightning_liver.runs.trained import Finished, appearance, decision_of, read_run
from lightning_liver.tables import write_csv
from lightning_liver.training.settings import TrainerOptions, resolve_auto
from lightning_liver.volume import Volume

log = logging.getLogger(__name__)

SUMMARY = "summary.csv"

Count = Annotated[int, Field(ge=1)]
Natural = Annotated[int, Field(ge=0)]


@dataclass(frozen=True)
class PredictOptions:
    """What is predicted, beside the masks; checked before anything is read.

    Args:
        batch_size: slices at once.
        coarse_mm: see inference.predictor.Options.
        tile: edge in pixels of the parts that larger slices are cut into; None takes them whole.
        overlap: share of a tile that its neighbour covers, too.
        uncertainty: the map that is written beside each mask, see inference.uncertainty.
        passes: with dropout, for the map of uncertainty.
        probabilities: write maps of them, too.
        dicom_seg: of a DICOM series, write a segmentation object, too.
        skip_done: leave scans alone whose mask is there.
    """

    batch_size: Count
    coarse_mm: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None
    tile: Annotated[int, Field(ge=16)] | None
    overlap: Annotated[float, Field(ge=0, lt=1)]
    uncertainty: Literal["entropy", "mutual_information", "variance"] | None
    passes: Natural
    probabilities: bool
    dicom_seg: bool
    skip_done: bool


class Predictor(NamedTuple):
    """All that makes a mask of a scan; `write_dicom_seg` where that is asked for."""

    members: list[Member]
    thresholds: Thresholds
    post_process: PostProcess
    options: Options
    write_dicom_seg: Callable[..., None] | None


def predict(cfg: DictConfig, folder: Path) -> None:
    """Write a mask for every scan of the input, and summary.csv with what was found.

    Raises:
        LiverError: nothing could be predicted.
        PartlyDone: some scans could not be read; the others are done.
    """
    for option in ("run", "input", "output"):
        if cfg[option] is None:
            raise LiverError(f"{option} is needed: liver-predict run=RUN_FOLDER input=SCAN_OR_FOLDER output=DIR")
    chosen: PredictOptions = build(cfg.options, skip_done=cfg["continue"])
    output = Path(str(cfg.output)).expanduser()
    scans = find_scans(Path(str(cfg.input)).expanduser(), output=output)
    if chosen.dicom_seg:
        _refuse_dicom_seg(cfg, scans, output)
    predictor = _predictor(cfg, chosen)
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LiverError(f"output={output}: {error.strerror}; choose another folder") from error
    rows, failures = _read_summary(output), []
    for number, scan in enumerate(scans, start=1):
        if chosen.skip_done and scan.name in rows and (output / scan.mask).exists():
            log.info(f"{scan.name}: done before")
            continue
        try:
            rows[scan.name] = {"case": scan.name, **_predict_one(scan, predictor, output, f"{number}/{len(scans)}")}
        except LiverError as error:
            failures.append(f"{scan.name}: {error}")
            log.error(failures[-1])
            continue
        write_csv(output / SUMMARY, list(rows.values()))
    _tell(output, len(scans), failures)


def _refuse_dicom_seg(cfg: DictConfig, scans: Sequence[Scan], output: Path) -> None:
    if not any(scan.is_dicom for scan in scans):
        raise LiverError(f"options.dicom_seg=true is for DICOM series, and input={cfg.input} has none; leave it out")
    if output.resolve() in {folder.resolve() for scan in scans for folder in (scan.path, scan.path.parent)}:
        raise LiverError(f"output={cfg.output} is among the series, whose readers would find one more; give another")


def _predict_one(scan: Scan, predictor: Predictor, output: Path, position: str) -> dict[str, Any]:
    """The row of the summary; the mask is written last, so that where it is, all is."""
    volume, options = _read(scan), predictor.options
    with tqdm(total=len(volume.hu), desc=f"{position} {scan.name}", unit="slice", dynamic_ncols=True) as bar:
        try:
            made = predict_volume(volume, predictor.members, predictor.thresholds, options, tell=bar.update)
        except torch.OutOfMemoryError as error:
            raise LiverError(
                f"{scan.path}: {options.batch_size} slices of {volume.hu.shape[1]} x {volume.hu.shape[2]} do not fit "
                "into the accelerator's memory; try options.batch_size=1, options.tile=512 or trainer=cpu"
            ) from error
    labels = predictor.post_process(made.labels, volume.spacing_mm)
    found = measure_volumes(labels, volume.spacing_mm)
    if not found.liver_ml:
        log.warning(f"{scan.name}: no liver was found. Is it an abdominal CT in HU, and the liver in view?")
    _write_maps(scan, made, options, volume, output)
    if predictor.write_dicom_seg is not None and scan.is_dicom:
        path = (output / scan.mask).with_suffix("").with_suffix(".dcm")
        predictor.write_dicom_seg(path, labels, volume.affine, scan.path)
    write_labels(output / scan.mask, labels, volume.affine)
    unsure = made.mean_uncertainty(labels, options.uncertainty)
    return {**found._asdict(), **({} if unsure is None else {"mean_uncertainty": unsure})}


def _read(scan: Scan) -> Volume:
    """The scan; whatever its file does to a library becomes an answer, and the others are predicted."""
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


def _write_maps(scan: Scan, made: Prediction, options: Options, volume: Volume, output: Path) -> None:
    stem = scan.mask.removesuffix(".nii.gz")
    for name, probability in made.probabilities.items():
        write_map(output / f"{stem}-{name}-probability.nii.gz", probability, volume.affine, largest=1.0)
    if made.uncertainty is not None and options.uncertainty:
        path = output / f"{stem}-{options.uncertainty}.nii.gz"
        write_map(path, made.uncertainty, volume.affine, largest=SCALE[options.uncertainty])


def _predictor(cfg: DictConfig, chosen: PredictOptions) -> Predictor:
    runs = cfg.run if isinstance(cfg.run, ListConfig) else [cfg.run]
    folders = [Path(str(run)).expanduser() for run in runs]
    if not folders:
        raise LiverError("run=[] names no run")
    trainer = resolve_auto(build(cfg.trainer))
    if trainer.threads is not None:
        torch.set_num_threads(trainer.threads)
    device, finished = torch.device(trainer.accelerator), [read_run(folder) for folder in folders]
    members = [_member(run, folder, trainer) for run, folder in zip(finished, folders, strict=True)]
    decisions = [decision_of(cfg.inference, run, folder) for run, folder in zip(finished, folders, strict=True)]
    thresholds = tuple(sum(values) / len(decisions) for values in zip(*(one[0] for one in decisions), strict=True))
    if len({one[1] for one in decisions}) > 1:
        raise LiverError("these runs post-process differently; say how: inference.postprocess.largest_liver=true ...")
    flips = cfg.inference.flips if cfg.inference.flips is not None else finished[0].config.inference.get("flips")
    options = Options(
        batch_size=chosen.batch_size,
        coarse_mm=chosen.coarse_mm,
        flips=flips_for(flips),
        tile=chosen.tile,
        overlap=chosen.overlap,
        uncertainty=chosen.uncertainty,
        passes=chosen.passes,
        probabilities=chosen.probabilities,
        autocast=_autocast(trainer),
        device=device,
    )
    views = len(members) * (options.passes or len(options.flips))
    dropout = all(has_dropout(member.network) for member in members)
    refuse_certainty(options.uncertainty, options.passes, views=views, dropout=dropout)
    write_dicom_seg = build(cfg.dicom_seg) if chosen.dicom_seg else None
    return Predictor(members, (thresholds[0], thresholds[1]), decisions[0][1], options, write_dicom_seg)


def _member(run: Finished, folder: Path, trainer: TrainerOptions) -> Member:
    network = fused(run.network)
    if trainer.channels_last is not False:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    network.to(trainer.accelerator)
    return Member(network, appearance(run, folder), run.config.data.spacing_mm, run.multiple)


def _autocast(trainer: TrainerOptions) -> torch.dtype | None:
    if trainer.precision not in AUTOCAST:
        raise LiverError(f"trainer.precision={trainer.precision}: prediction knows {', '.join(AUTOCAST)}")
    return AUTOCAST[trainer.precision]


def _read_summary(output: Path) -> dict[str, dict[str, Any]]:
    path = output / SUMMARY
    if not path.exists():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        return {row["case"]: dict(row) for row in csv.DictReader(file) if row.get("case")}


def _tell(output: Path, count: int, failures: Sequence[str]) -> None:
    if not failures:
        log.info(f"{count} scan{'s' * (count > 1)} in {output}")
        return
    listed = "\n".join(f"  {text}" for text in failures)
    if len(failures) == count:
        raise LiverError(failures[0] if count == 1 else f"None of {count} scans could be predicted:\n{listed}")
    raise PartlyDone(f"{len(failures)} of {count} scans could not be predicted, the others are in {output}:\n{listed}")
