"""Viewer of the test cases of a run, or the cases of a workspace, in the browser: scan, masks, and how they differ."""

import logging
import webbrowser
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from omegaconf import DictConfig

from lightning_liver.active.workspace_cases import workspace_cases
from lightning_liver.build import prepared
from lightning_liver.data.resample import resample_labels
from lightning_liver.data.store import CaseRecord, Store
from lightning_liver.errors import LiverError
from lightning_liver.files import required_folder, required_run
from lightning_liver.imageio.nifti import read_labels
from lightning_liver.inference.network import TrainedNetwork
from lightning_liver.inference.predict_volume import AUTOCAST, VolumeOptions, predict_volume
from lightning_liver.inference.tta import flips_for
from lightning_liver.report.viewer.pages import ShownCases, routes
from lightning_liver.report.viewer.run_cases import reading, run_cases
from lightning_liver.report.viewer.server import LOOPBACK, loopback_server
from lightning_liver.report.viewer.volumes import Labels
from lightning_liver.run_folder import RunFolder
from lightning_liver.runs.contents import read_lines
from lightning_liver.runs.status import json_of
from lightning_liver.runs.trained import decision_of, read_run, tested_cases, trusted
from lightning_liver.training.settings import available_accelerator
from lightning_liver.types.options import Switch, check, whole_number
from lightning_liver.volume import Volume

log = logging.getLogger(__name__)

_MASKS = ("segmentation-{0}", "{0}-segmentation", "{1}-segmentation")  # of a case's name and of its volume's


def view(cfg: DictConfig, folder: Path) -> None:
    """Serve the viewer of a run or a workspace on loopback, until Ctrl-C.

    Raises:
        LiverError: options that do not belong together; no run or workspace; a run without weights or test cases; no
            such case; a folder without its mask; a port in use; NiiVue is not installed.
    """
    _check(cfg)
    shown = _of_run(cfg) if cfg.workspace is None else _of_workspace(cfg)
    with loopback_server(routes(shown), cfg.port) as server:
        address = f"http://{LOOPBACK}:{server.server_port}/"
        log.info(f"Case {shown.first} of {cfg.run or cfg.workspace}: {address}\nStop with Ctrl-C.")
        if cfg.browser:
            webbrowser.open(address)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            log.info("Stopped.")


def masks_of_folder(predictions: str | Path, store: Store, first: str) -> Callable[[str], Labels]:
    """Return case -> labels, read from a folder of masks and brought to the store's grid.

    Args:
        predictions: folder with segmentation-CASE, CASE-segmentation or VOLUME-segmentation, .nii.gz or .nii.
        first: a case that must have one.

    Raises:
        LiverError: no such folder, or no mask of the first case.
    """
    folder = required_folder("predictions", predictions, "a folder of masks")
    _mask_file(folder, store.cases[first])
    return partial(_from_folder, folder, store)


def _check(cfg: DictConfig) -> None:
    check("port", cfg.port, whole_number(0, 2**16 - 1))
    check("browser", cfg.browser, Switch)
    if cfg.workspace is None:
        if cfg.run is None:
            raise LiverError("run=null: expected a run folder, or workspace=...; give run=... or workspace=...")
        return
    if cfg.run is not None:
        raise LiverError(f"run={cfg.run} workspace={cfg.workspace}: expected one of them; leave one out")
    if cfg.predictions is not None:
        raise LiverError(
            f"predictions={cfg.predictions}: expected null with workspace=..., which has its proposals; leave it out"
        )
    if cfg.trust:
        raise LiverError(f"trust={cfg.trust}: expected [] with workspace=..., where no network is built; leave it out")


def _of_run(cfg: DictConfig) -> ShownCases:
    run = required_run(cfg.run)
    cases = _tested(run)
    first = str(cases[0] if cfg.case is None else cfg.case)
    if first not in cases:
        raise LiverError(f"case={first}: expected a test case of {run}; choose one of {', '.join(cases)}")
    trained = read_run(run, trust=trusted(cfg))
    store = prepared(trained.config.data)
    if gone := [name for name in cases if name not in store.cases]:
        raise LiverError(f"run={run}: data.root no longer has its test cases {', '.join(gone)}")
    if cfg.predictions is None:
        predict = _predictor(trained, run, store)
    else:
        predict = masks_of_folder(cfg.predictions, store, first)
    return run_cases(
        store,
        cases,
        predict,
        run=run.resolve().name,
        first=first,
        window_hu=trained.normalization.window_hu,
        scores=read_lines(RunFolder(run).cases) or (),
        lesions=read_lines(RunFolder(run).lesions) or (),
    )


def _of_workspace(cfg: DictConfig) -> ShownCases:
    folder = required_folder("workspace", cfg.workspace, "a workspace of liver-active")
    return workspace_cases(folder, None if cfg.case is None else str(cfg.case))


def _tested(run: Path) -> tuple[str, ...]:
    cases = tested_cases(run)
    if not cases:
        raise LiverError(f"run={run}: expected test cases; give another run")
    return cases


def _predictor(trained: TrainedNetwork, run: Path, store: Store) -> Callable[[str], Labels]:
    """Return case -> labels, predicted as when the run was scored, but on the store's grid."""
    config = trained.config
    thresholds, post_process = decision_of(config.inference, trained, run)
    device = torch.device(available_accelerator())
    precision = (json_of(RunFolder(run).chosen) or {}).get("precision")
    on_store = replace(trained, network=trained.network.to(device), spacing_mm=None)
    options = VolumeOptions.masks_alone(
        thresholds=thresholds,
        post_process=post_process,
        batch_size=config.data.eval_batch_size,
        flips=flips_for(config.inference.get("flips")),
        autocast=AUTOCAST.get(str(precision)),
        device=device,
    )

    def predict(case: str) -> Labels:
        return predict_volume(_volume(store, case), [on_store], options).labels

    return predict


def _volume(store: Store, case: str) -> Volume:
    record = store.cases[case]
    with reading:
        hu = np.stack([store.read(case, "hu", z) for z in range(record.shape[0])])
    return Volume(hu, record.spacing_mm, np.array(record.affine))


def _from_folder(folder: Path, store: Store, case: str) -> Labels:
    """Read the mask of a case and bring it to the store's grid."""
    record = store.cases[case]
    grid = Volume(np.broadcast_to(np.int16(0), record.native_shape), record.native_spacing_mm, np.array(record.affine))
    native = read_labels(_mask_file(folder, record), grid)
    height, width = record.shape[1:]
    return np.stack([resample_labels(labels, (height, width)) for labels in native])


def _mask_file(folder: Path, record: CaseRecord) -> Path:
    volume = Path(record.volume).name.removesuffix(".gz").removesuffix(".nii")
    stems = dict.fromkeys(stem.format(record.name, volume) for stem in _MASKS)
    names = [f"{stem}{end}" for stem in stems for end in (".nii.gz", ".nii")]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise LiverError(f"predictions={folder}: no mask of case {record.name}; name it as one of {', '.join(names)}")
