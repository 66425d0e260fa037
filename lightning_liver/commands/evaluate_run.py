"""Score the network of a finished run: on its own test cases, or on a data set that it never saw."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from lightning_liver.augment.policy import none
from lightning_liver.build import build, prepared
from lightning_liver.data.datamodule import SliceDataModule
from lightning_liver.data.splits import Split
from lightning_liver.errors import LiverError
from lightning_liver.evaluation.tables import score_tables
from lightning_liver.inference.tta import flips_for
from lightning_liver.inference.uncertainty import KINDS, has_dropout, refuse_certainty
from lightning_liver.report.cases import draw_cases, run_figures, write_scores
from lightning_liver.runs.trained import Finished, decision_of, read_run, tested_cases
from lightning_liver.tables import or_none, write_json_whole
from lightning_liver.training.settings import resolve_auto
from lightning_liver.training.task import SegmentationTask
from lightning_liver.training.trainer import bare_trainer
from lightning_liver.training.volume_scores import VolumeScores, check_scoring

log = logging.getLogger(__name__)

_OF_LOADING = ("num_workers", "workers", "eval_batch_size")
_OF_MASKS = ("patients=", "skip_missing=", "workers=")
_OF_THE_WEIGHTS = ("spacing_mm", "context", "window_hu", "standardise")  # what the network wants its input to be


def evaluate_run(cfg: DictConfig, folder: Path) -> dict[str, Any]:
    """Score the run's test cases, or every labelled case of the data that were typed, on each scan's own grid.

    Leaves cases.csv, lesions.csv, calibration.csv, metrics.json and pictures in a folder.

    Raises:
        LiverError: a run without weights or test cases; what preparing raises.
    """
    run = Path(str(cfg.run)).expanduser()
    finished = read_run(run)
    saved = finished.config
    typed = HydraConfig.get().overrides.task
    if others := [override for override in typed if override.startswith(_OF_MASKS)]:
        raise LiverError(f"{others[0]}: this is for truth= and predictions=; with run= leave it out")
    check_scoring(mode=cfg.mode, tolerance_mm=cfg.tolerance_mm)
    elsewhere = any(override.startswith(("data=", "data.root=")) for override in typed)
    data = _for_the_weights(cfg.data, saved.data) if elsewhere else _with_typed(saved.data, typed)
    store = prepared(data)
    cases = tuple(store.labelled()) if elsewhere else tested_cases(run)
    if not cases:
        raise LiverError(f"{run} has no test cases; name a data set: data=lits data.root=DIR")
    if gone := [name for name in cases if name not in store.cases]:
        raise LiverError(f"{run} tested cases that data.root no longer has: {', '.join(gone)}")
    module = SliceDataModule(store, Split((cases[0],), (), cases), none(), build(data.slices), seed=0)
    module.load_state_dict(finished.normalization)
    task = _task(finished, flips=bool(_given(cfg.inference.flips, saved.inference.get("flips"))))
    _compare_uncertainty(task, cfg)
    task.thresholds, post_process = decision_of(cfg.inference, finished, run)
    volumes = VolumeScores(module, post_process, mode=cfg.mode, tolerance_mm=cfg.tolerance_mm)
    logged = bare_trainer(resolve_auto(build(cfg.trainer)), callbacks=[volumes]).test(task, module, verbose=False)[0]
    rows = write_scores(folder, store, volumes.scores, task.calibration)
    draw_cases(folder / "pictures", store, rows, volumes.kept, module.normalization.window_hu)
    metrics: dict[str, Any] = {name: or_none(value) for name, value in logged.items() if name.startswith("test/")}
    metrics |= run_figures(volumes.scores) | {"mode": cfg.mode, "tolerance_mm": cfg.tolerance_mm}
    write_json_whole(folder / "metrics.json", metrics)
    patients = [store.cases[case].patient for case in volumes.scores]
    tables = score_tables(list(volumes.scores.values()), patients, metrics, cfg.tolerance_mm)
    tables += _told_uncertainty(metrics, cfg.uncertainty)
    log.info(f"{run} on {store.folder if elsewhere else 'its test cases'}\n\n{tables}\n\n{folder}")
    return metrics


def _compare_uncertainty(task: SegmentationTask, cfg: DictConfig) -> None:
    """Have the task say whether its uncertainty points at the mistakes.

    Raises:
        LiverError: there is no such uncertainty, or it would be zero everywhere.
    """
    kind, passes = cfg.uncertainty, cfg.passes
    if kind not in (None, *KINDS):
        raise LiverError(f"uncertainty={kind!r}: it is one of {', '.join(KINDS)}")
    if isinstance(passes, bool) or not isinstance(passes, int) or passes < 0:
        raise LiverError(f"passes={passes!r}: it is a whole number of at least 0")
    refuse_certainty(kind, passes, views=passes or len(task.flips), dropout=has_dropout(task.network))
    task.uncertainty, task.passes = kind, passes


def _told_uncertainty(metrics: Mapping[str, Any], kind: str | None) -> str:
    """Whether it points at the mistakes, in words."""
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
    """The data that were typed, seen as the network was trained to see them."""
    return DictConfig(OmegaConf.merge(data, {name: of_run[name] for name in _OF_THE_WEIGHTS if name in of_run}))


def _with_typed(of_run: DictConfig, typed: Sequence[str]) -> DictConfig:
    """The run's own data, loaded as typed.

    Raises:
        LiverError: an option that would make other data of them.
    """
    options = [override.removeprefix("data.") for override in typed if override.startswith("data.")]
    if others := [option for option in options if not option.startswith(_OF_LOADING)]:
        raise LiverError(
            f"data.{others[0]}: without data= the run's own test cases are scored, and of their options only "
            f"{', '.join(_OF_LOADING)} can be given"
        )
    return DictConfig(OmegaConf.merge(of_run, OmegaConf.from_dotlist(options)))


def _task(run: Finished, *, flips: bool) -> SegmentationTask:
    return SegmentationTask(
        run.network,
        build(run.config.loss),
        terms={},
        test_losses={},
        optimizer=build(run.config.optimizer),
        scheduler=build(run.config.scheduler),
        multiple=run.multiple,
        flips=flips_for(flips),
    )
