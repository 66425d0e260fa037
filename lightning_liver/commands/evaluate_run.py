"""Scores of a run's network on its own test cases, or on a data set that it never saw."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from pydantic import Strict
from torch import nn

from lightning_liver.augment.policy import none
from lightning_liver.build import build, prepared
from lightning_liver.data.datamodule import SliceDataModule
from lightning_liver.data.splits import Split
from lightning_liver.errors import LiverError
from lightning_liver.evaluation.tables import score_tables
from lightning_liver.files import required_run
from lightning_liver.inference.network import TrainedNetwork
from lightning_liver.inference.thresholds import Thresholds
from lightning_liver.inference.tta import flips_for
from lightning_liver.inference.uncertainty import Kind, check_uncertainty, has_dropout
from lightning_liver.report.cases import draw_cases, run_figures, write_scores
from lightning_liver.run_folder import RunFolder
from lightning_liver.runs.checkpoints import read_checkpoint
from lightning_liver.runs.trained import DomainStatistics, decision_of, read_run, tested_cases, trusted
from lightning_liver.tables import or_none, write_json_whole
from lightning_liver.training.case_callbacks import Calibration, UncertaintyAgainstMistakes
from lightning_liver.training.domain_statistics import StatisticsByDomain
from lightning_liver.training.settings import resolve_auto
from lightning_liver.training.task import SegmentationTask
from lightning_liver.training.trainer import bare_trainer
from lightning_liver.training.volume_scores import VolumeScores, check_scoring
from lightning_liver.types.options import Natural, check

log = logging.getLogger(__name__)

_OF_LOADING = ("num_workers", "workers", "eval_batch_size")
_OF_MASKS = ("patients=", "skip_missing=", "workers=", "truth_labels=", "prediction_labels=")
_OF_THE_WEIGHTS = ("spacing_mm", "context", "window_hu", "standardise")  # the input that the network was trained on


def evaluate_run(cfg: DictConfig, folder: Path) -> dict[str, Any]:
    """Score the run's test cases, or every labelled case of the given data, on each scan's own grid.

    Writes cases.csv, lesions.csv, calibration.csv, metrics.json and pictures to the folder.

    Raises:
        LiverError: a run without weights or test cases; what preparing raises.
    """
    run = required_run(cfg.run)
    typed = HydraConfig.get().overrides.task
    if others := [override for override in typed if override.startswith(_OF_MASKS)]:
        raise LiverError(f"{others[0]}: expected only with truth= and predictions=; leave it out")
    check_scoring(mode=cfg.mode, tolerance_mm=cfg.tolerance_mm)
    elsewhere = any(override.startswith(("data=", "data.root=", "data.table=")) for override in typed)
    place = elsewhere and Path(str(cfg.data.root))
    trained = read_run(run, statistics=cfg.statistics, elsewhere=place, trust=trusted(cfg))
    saved = trained.config
    data = _for_the_weights(cfg.data, saved.data) if elsewhere else _with_typed(saved.data, typed)
    store = prepared(data)
    cases = tuple(store.labelled()) if elsewhere else tested_cases(run)
    if not cases:
        raise LiverError(f"run={run}: expected test cases; name a data set, as in data=lits data.root=DIR")
    if gone := [name for name in cases if name not in store.cases]:
        raise LiverError(f"run={run}: data.root no longer has its test cases {', '.join(gone)}")
    module = SliceDataModule(store, Split((cases[0],), (), cases), none(), build(data.slices), seed=0)
    module.load_state_dict(asdict(trained.normalization))
    thresholds, post_process = decision_of(cfg.inference, trained, run)
    task = _task(trained, cfg, thresholds, flips=bool(_given(cfg.inference.flips, saved.inference.get("flips"))))
    volumes = VolumeScores(module, post_process, mode=cfg.mode, tolerance_mm=cfg.tolerance_mm)
    calibration = Calibration()
    by_domain = _by_domain(run, cfg.statistics, elsewhere)
    callbacks = [by_domain, volumes, calibration, UncertaintyAgainstMistakes()]
    logged = bare_trainer(resolve_auto(build(cfg.trainer)), callbacks=callbacks).test(task, module, verbose=False)[0]
    rows = write_scores(folder, store, volumes.scores, calibration.bins)
    draw_cases(RunFolder(folder).pictures, store, rows, volumes.shown, module.normalization.window_hu)
    metrics: dict[str, Any] = {name: or_none(value) for name, value in logged.items() if name.startswith("test/")}
    metrics |= run_figures(volumes.scores) | {"mode": cfg.mode, "tolerance_mm": cfg.tolerance_mm}
    if trained.statistics is not None:
        metrics["batch_norm_statistics"] = trained.statistics
    write_json_whole(RunFolder(folder).metrics, metrics)
    patients = [store.cases[case].patient for case in volumes.scores]
    tables = score_tables(list(volumes.scores.values()), patients, metrics, cfg.tolerance_mm)
    tables += _uncertainty_text(metrics, cfg.uncertainty)
    log.info(f"{run} on {store.folder if elsewhere else 'its test cases'}\n\n{tables}\n\n{folder}")
    return metrics


def _by_domain(run: Path, asked: str | None, elsewhere: bool) -> StatisticsByDomain:
    """Return what tests cases of a run that lie in its target's folder with the target's statistics."""
    known = None if asked or elsewhere else DomainStatistics.of(read_checkpoint(RunFolder(run).best))
    if known is None or not known.cases:
        return StatisticsByDomain(())
    log.info(f"Cases in the target's folder use its statistics: {', '.join(known.cases)}")
    return StatisticsByDomain(known.cases, known.target)


def _check_uncertainty(cfg: DictConfig, network: nn.Module, *, views: int) -> None:
    """Refuse an uncertainty that does not exist, or that would be zero everywhere."""
    kind, passes = cfg.uncertainty, cfg.passes
    check("uncertainty", kind, Kind | None)
    check("passes", passes, Annotated[Natural, Strict()])
    check_uncertainty(kind, passes, views=passes or views, dropout=has_dropout(network))


def _uncertainty_text(metrics: Mapping[str, Any], kind: str | None) -> str:
    """Describe how well the uncertainty points at the mistakes."""
    found = [metrics.get(f"test/uncertainty/{name}") for name in ("auroc", "aurc", "best_aurc")]
    if kind is None or any(value is None for value in found):
        return ""
    auroc, aurc, best = found
    return (
        f"\n\nUncertainty ({kind}): a wrong voxel is more uncertain than a right one in {auroc:.1%} of pairs (50 % "
        f"says nothing); area under risk-coverage {aurc:.4f}, {best:.4f} at best."
    )


def _given(typed: Any, otherwise: Any) -> Any:
    return otherwise if typed is None else typed


def _for_the_weights(data: DictConfig, of_run: DictConfig) -> DictConfig:
    """Return the given data with the spacing and normalization of the run."""
    return DictConfig(OmegaConf.merge(data, {name: of_run[name] for name in _OF_THE_WEIGHTS if name in of_run}))


def _with_typed(of_run: DictConfig, typed: Sequence[str]) -> DictConfig:
    """Return the run's own data with the given options of loading.

    Raises:
        LiverError: an option that would change the data.
    """
    options = [override.removeprefix("data.") for override in typed if override.startswith("data.")]
    if others := [option for option in options if not option.startswith(_OF_LOADING)]:
        raise LiverError(
            f"data.{others[0]}: expected only {', '.join(_OF_LOADING)} without data=, which scores the run's own "
            "test cases; leave it out"
        )
    return DictConfig(OmegaConf.merge(of_run, OmegaConf.from_dotlist(options)))


def _task(trained: TrainedNetwork, cfg: DictConfig, thresholds: Thresholds, *, flips: bool) -> SegmentationTask:
    views = flips_for(flips)
    _check_uncertainty(cfg, trained.network, views=len(views))
    return SegmentationTask(
        trained.network,
        build(trained.config.loss),
        terms={},
        optimizer=build(trained.config.optimizer),
        scheduler=build(trained.config.scheduler),
        multiple=trained.multiple,
        flips=views,
        thresholds=lambda: thresholds,
        uncertainty=cfg.uncertainty,
        passes=cfg.passes,
    )
