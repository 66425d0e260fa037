"""nnU-Net v2, 2D, with its defaults except for axial slices and batches of eight, its 1000 epochs cut to the budget.

Runs in an environment of its own. Nominal spacings would make its planner slice along another axis, in batches of 66.
Its learning rate follows the used fraction of the budget. It trains on all scans, without validation, which changes no
weight.
"""

import json
import random
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nnunetv2.experiment_planning.plan_and_preprocess_api import extract_fingerprints, plan_experiments, preprocess
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.paths import nnUNet_preprocessed, nnUNet_raw
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from experiments.speed.dice.job import MIRRORED, Job, Progress, Scan, run
from experiments.speed.nnunet import NAME, NUMBER, write_dataset

BATCH, SIZE = 8, 256
CPU = torch.device("cpu")


def name_of(scan: Scan) -> str:
    return f"case_{scan.case}"


def copy_raw(job: Job) -> None:
    folder = Path(nnUNet_raw) / NAME
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for scan in job.train:
        shutil.copy(scan.volume, folder / "imagesTr" / f"{name_of(scan)}_0000.nii.gz")
        shutil.copy(scan.labels, folder / "labelsTr" / f"{name_of(scan)}.nii.gz")
    write_dataset(folder, len(job.train))


def prepare(job: Job) -> None:
    copy_raw(job)
    extract_fingerprints([NUMBER], num_processes=2, show_progress_bar=False)
    plan_experiments([NUMBER])
    folder = preprocessed()
    plans = json.loads((folder / "nnUNetPlans.json").read_text())
    plans["transpose_forward"] = plans["transpose_backward"] = [0, 1, 2]
    axial = {"spacing": [1.5, 1.5], "patch_size": [SIZE, SIZE], "median_image_size_in_voxels": [float(SIZE)] * 2}
    plans["configurations"]["2d"] |= axial | {"batch_size": BATCH}
    (folder / "nnUNetPlans.json").write_text(json.dumps(plans, indent=1))
    names = [name_of(scan) for scan in job.train]
    (folder / "splits_final.json").write_text(json.dumps([{"train": names, "val": names[:1]}]))
    preprocess([NUMBER], configurations=("2d",), num_processes=[2], show_progress_bar=False)


def preprocessed() -> Path:
    return Path(nnUNet_preprocessed) / NAME


def trainer() -> Any:
    plans, dataset = (json.loads((preprocessed() / name).read_text()) for name in ("nnUNetPlans.json", "dataset.json"))
    made = nnUNetTrainer(plans | {"continue_training": False}, "2d", 0, dataset, CPU)
    made.initialize()
    return made


def train(job: Job, progress: Progress) -> None:
    """Run nnU-Net's own loader, step and schedule."""
    for seed in (random.seed, np.random.seed):
        seed(job.seed)
    prepare(job)
    made = trainer()
    made.on_train_start()
    made.network.train()
    clock = progress.start(made.network)
    while clock.is_running:
        made.lr_scheduler.step(made.num_epochs * clock.progress)
        made.train_step(next(made.dataloader_train))
        clock.tick()
    clock.finish()
    made.disable_checkpointing = True
    made.on_train_end()


def predict(job: Job, weights: Path, target: Path) -> None:
    """Predict without mirrored views, as all do; at the end of the budget also with them, nnU-Net's default."""
    made = trainer()
    made.network.load_state_dict(torch.load(weights, weights_only=True))
    made.set_deep_supervision_enabled(False)
    at_the_end = {True: job.folder / MIRRORED} if float(weights.stem) == job.minutes else {}
    for mirrored, folder in (at_the_end | {False: target}).items():
        folder.mkdir(exist_ok=True)
        predictor = nnUNetPredictor(use_mirroring=mirrored, device=CPU, allow_tqdm=False)
        axes = (0, 1) if mirrored else None
        parts = (made.network, made.plans_manager, made.configuration_manager, None, made.dataset_json)
        predictor.manual_initialization(*parts, "nnUNetTrainer", axes)
        predict_scans(job, predictor, folder)


def predict_scans(job: Job, predictor: Any, folder: Path) -> None:
    predictor.list_of_parameters = [predictor.network.state_dict()]
    files = [[scan.volume] for scan in job.held]
    truncated = [str(folder / scan.mask.removesuffix(".nii.gz")) for scan in job.held]
    predictor.predict_from_files_sequential(files, truncated, False, True, None)


if __name__ == "__main__":
    run(train, predict, {name: version(name) for name in ("torch", "nnunetv2")})
