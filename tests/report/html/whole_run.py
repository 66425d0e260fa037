"""A run folder with every file that a report reads, made without training: 26 patients, scores from a formula."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from torch.utils.tensorboard import SummaryWriter

from lightning_liver.report.pictures import PictureSlice, write_pictures
from lightning_liver.runs.timing import Timing, write_timing
from lightning_liver.tables import Row, write_csv, write_json_whole
from lightning_liver.types import STRUCTURES

PATIENTS = 26
EPOCHS, STEPS_AN_EPOCH = 8, 20
CASES = [str(n) for n in range(3, 3 + PATIENTS)]
DRAWN = {"best": CASES[2], "median": CASES[9], "worst": CASES[20]}


def write_whole_run(folder: Path, *, drawn: bool = True) -> Path:
    """Write a complete run on scans.

    Args:
        drawn: with the curves of TensorBoard and the pictures, which take seconds.
    """
    folder.mkdir(parents=True)
    _write_config(folder)
    rows = case_rows()
    write_csv(folder / "cases.csv", rows)
    write_csv(folder / "lesions.csv", lesion_rows())
    write_csv(folder / "calibration.csv", calibration_rows())
    write_csv(folder / "data.csv", data_rows())
    split = {"train": ["0", "1", "2"], "val": ["100", "101"], "test": CASES}
    (folder / "split.json").write_text(json.dumps(split))
    (folder / "decision.json").write_text(json.dumps(DECISION))
    (folder / "differs.json").write_text(json.dumps(DIFFERS))
    chosen = {"accelerator": "cpu", "precision": "bf16-mixed", "threads": 2, "max_epochs": EPOCHS}
    (folder / "chosen.json").write_text(json.dumps(chosen))
    machine = {"finished": "2026-01-31T12:00:00+00:00", "code": "0.1.0", "processor": "A processor", "cores": 2}
    write_json_whole(folder / "environment.json", {**machine, "python": "3.11.7", "torch": "2.13.0", "numpy": "2.4.6"})
    write_timing(folder, Timing(prepare_s=12.0, fit_s=3900.0, test_s=80.0))
    (folder / "model.txt").write_text("1.9 M     Trainable params\n1.9 M     Total params\n")
    if drawn:
        _write_curves(folder / "tensorboard")
        write_case_pictures(folder / "pictures")
    means = {f"test/{s}/dice_per_case": _mean(rows, s) for s in STRUCTURES}
    write_json_whole(folder / "metrics.json", {**means, "epochs": EPOCHS, "steps": EPOCHS * STEPS_AN_EPOCH})
    return folder


DECISION = {
    "thresholds": {"liver": 0.5, "tumour": 0.5},
    "tuned": {"liver": 0.55, "tumour": 0.21},
    "validation": [
        {"what": "threshold 0.5", "liver": 0.93, "tumour": 0.41},
        {"what": "tuned thresholds", "liver": 0.931, "tumour": 0.452},
        {"what": "largest_liver", "liver": 0.944, "tumour": 0.452},
    ],
}
DIFFERS = {
    "choices": {"loss": ["dice_bce", "focal"]},
    "options": {"data.slices_per_epoch": [960, 320], "loss.gamma": [2.0, 3.5]},
}


def case_rows() -> list[Row]:
    """Return Dice that falls from patient to patient; the last one has no tumour and none is predicted."""
    rows: list[Row] = []
    for n, case in enumerate(CASES):
        for structure, best, slope in (("liver", 0.972, 0.0022), ("tumour", 0.91, 0.031)):
            none = structure == "tumour" and n == PATIENTS - 1
            dice = 1.0 if none else max(best - slope * n, 0.0)
            rows.append(_case(case, structure, dice, none))
    return rows


def _case(case: str, structure: str, dice: float, none: bool) -> Row:
    true_ml = 0.0 if none else (1500.0 if structure == "liver" else 24.5)
    far = None if none or dice == 0 else round(30 * (1 - dice), 2)
    jaccard = dice / (2 - dice)
    return {
        "case": case,
        "patient": f"patient-{case}",
        "structure": structure,
        "dice": dice,
        "jaccard": jaccard,
        "voe": 1 - jaccard,
        "rvd": None if none else 0.1 - 0.2 * dice,
        "assd_mm": far and far / 4,
        "rmsd_mm": far and far / 3,
        "mssd_mm": far and far * 3,
        "hd95_mm": far,
        "surface_dice": None if none else dice**2,
        "true_ml": true_ml,
        "predicted_ml": true_ml * (1.1 - 0.2 * dice),
        "true_voxels": int(true_ml * 500),
        "predicted_voxels": int(true_ml * 550),
        "common_voxels": int(true_ml * 490 * dice),
    }


def lesion_rows() -> list[Row]:
    """Return two true tumours for each patient but the last, from 4 to 79 mm; larger ones are detected more often."""
    rows: list[Row] = []
    for n, case in enumerate(CASES[:-1]):
        for lesion in (1, 2):
            diameter_mm = 4.0 + 1.5 * (2 * n + lesion - 1)
            found = (n * 7 + lesion) % 10 < diameter_mm / 4
            overlap = min(0.9, diameter_mm / 60) if found else 0.0
            rows.append(_lesion(case, "reference", lesion, diameter_mm, overlap))
            if found:
                rows.append(_lesion(case, "predicted", lesion, diameter_mm * 1.1, overlap))
        if n % 4 == 0:
            rows.append(_lesion(case, "predicted", 9, 6.0, 0.0))
    return rows


def _lesion(case: str, kind: str, lesion: int, diameter_mm: float, overlap: float) -> Row:
    return {
        "case": case,
        "patient": f"patient-{case}",
        "kind": kind,
        "lesion": lesion,
        "volume_ml": round(np.pi / 6 * (diameter_mm / 10) ** 3, 3),
        "diameter_mm": round(diameter_mm, 1),
        "overlap": round(overlap, 3),
        "detected_0": int(overlap > 0),
        "detected_50": int(overlap > 0.5),
    }


def calibration_rows() -> list[Row]:
    """Return ten bins for each structure; probability p has frequency p^1.3 (overconfident). One bin is empty."""
    rows: list[Row] = []
    for structure in STRUCTURES:
        for n in range(10):
            middle, voxels = n / 10 + 0.05, 0 if (structure, n) == ("tumour", 4) else int(10 ** (7 - n / 2))
            rows.append(
                {
                    "structure": structure,
                    "bin_low": n / 10,
                    "bin_high": (n + 1) / 10,
                    "voxels": voxels,
                    "mean_probability": middle if voxels else None,
                    "true_share": middle**1.3 if voxels else None,
                }
            )
    return rows


def data_rows() -> list[Row]:
    parts = {"train": ["0", "1", "2"], "val": ["100", "101"], "test": CASES, "unlabelled": ["131"]}
    return [
        {
            "part": part,
            "case": case,
            "patient": f"patient-{case}",
            "patient_known": True,
            "slices": 60 + int(case),
            "rows": 512,
            "columns": 512,
            "slice_mm": 1.0 + int(case) % 3,
            "pixel_mm": 0.7,
            "liver_slices": 40,
            "tumour_slices": 0 if case == CASES[-1] else 9,
            "reason": None,
        }
        for part, cases in parts.items()
        for case in cases
    ] + [{"part": "refused", "case": "130", "patient": "patient-130", "reason": "volume-130.nii: damaged"}]


def _write_config(folder: Path) -> None:
    source = {"_target_": "lightning_liver.data.sources.lits"}
    tree: dict[str, Any] = {
        "data": {"root": "scans", "fold": 1, "spacing_mm": 1.5, "window_hu": [-160, 240], "source": source},
        "model": {"_target_": "lightning_liver.models.unet.UNet", "depth": 4},
        "loss": {"_target_": "lightning_liver.losses.distribution.focal", "gamma": 3.5},
        "seed": 0,
    }
    choices = {"data": "lits", "model": "unet_small", "loss": "focal"}
    choices |= {"augment": "basic", "finetune": "scratch"}
    overrides = {"task": ["data=lits", "loss=focal", "loss.gamma=3.5"], "hydra": []}
    (folder / ".hydra").mkdir()
    (folder / ".hydra" / "config.yaml").write_text(yaml.safe_dump(tree))
    job = {"name": "${.config_name}", "config_name": "train"}
    hydra = {"mode": "RUN", "job": job, "runtime": {"choices": choices}, "overrides": overrides}
    (folder / ".hydra" / "hydra.yaml").write_text(yaml.safe_dump({"hydra": hydra}))


def _write_curves(folder: Path) -> None:
    """Write falling losses, Dice that is best in the last epoch but one, and the test metrics that Lightning logs."""
    with SummaryWriter(str(folder)) as writer:
        for step in range(9, EPOCHS * STEPS_AN_EPOCH, 10):
            writer.add_scalar("train/loss", 1.4 / (1 + step / 30), step)
            writer.add_scalar("epoch", step // STEPS_AN_EPOCH, step)
        for epoch in range(EPOCHS):
            _write_validation(writer, epoch, (epoch + 1) * STEPS_AN_EPOCH - 1)
        _write_validation(writer, EPOCHS - 2, EPOCHS * STEPS_AN_EPOCH)  # the best weights again, after training
        _write_validation(writer, EPOCHS - 2, 0)


def _write_validation(writer: SummaryWriter, epoch: int, step: int) -> None:
    worse = 0.02 * (epoch == EPOCHS - 1)
    liver, tumour = 0.95 - 0.4 / (epoch + 1) - worse, 0.7 - 0.65 / (epoch + 1) - worse
    writer.add_scalar("val/loss", 1.2 / (epoch + 1), step)
    writer.add_scalar("val/liver/dice_per_case", liver, step)
    writer.add_scalar("val/tumour/dice_per_case", tumour, step)
    writer.add_scalar("val/mean/dice_per_case", (liver + tumour) / 2, step)


def write_case_pictures(folder: Path) -> None:
    folder.mkdir()
    y, x = np.mgrid[:120, :160]
    for n, (role, case) in enumerate(DRAWN.items()):
        truth = (np.hypot(y - 55, x - 55) < 32).astype(np.uint8)
        prediction = (np.hypot(y - 55 - 2 * n, x - 55 - 3 * n) < 32).astype(np.uint8)
        truth[np.hypot(y - 45, x - 48) < 9] = 2
        prediction[np.hypot(y - 45 - 3 * n, x - 48) < 9] = 2
        hu = np.where(np.hypot((y - 60) / 55, (x - 80) / 75) < 1, 20, -1000) + 60 * (truth == 1)
        noisy = (hu + 25 * np.sin(x * 1.7 + y * 2.3)).astype(np.int16)
        dice = {"liver": 0.97 - 0.05 * n, "tumour": 0.9 - 0.3 * n}
        write_pictures(
            folder,
            f"{role}-case-{case}",
            PictureSlice(f"case {case}", 57, noisy, truth, prediction, (2.0, 2.0), dice),
            window_hu=(-160.0, 240.0),
        )


def _mean(rows: Sequence[Row], structure: str) -> float:
    return float(np.mean([float(row["dice"] or 0) for row in rows if row["structure"] == structure]))
