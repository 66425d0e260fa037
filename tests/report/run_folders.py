"""Run folders as a training leaves them, without the training."""

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

Dice = Mapping[tuple[str, str], float | None]  # of (patient, case)


def write_config(folder: Path, loss: Mapping[str, Any], *, choice: str = "", **other: Any) -> None:
    tree: dict[str, Any] = {
        "data": {"root": str(folder), "fold": other.pop("fold", 0), "size": 128},
        "model": {"_target_": "package.models.unet", "depth": 3},
        "loss": dict(loss),
        "seed": other.pop("seed", 0),
    }
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "config.yaml").write_text(yaml.safe_dump(tree | other))
    if choice:
        chosen = {"hydra": {"runtime": {"choices": {"loss": choice, "model": "unet_small"}}}}
        (folder / ".hydra" / "hydra.yaml").write_text(yaml.safe_dump(chosen))


def write_run(folder: Path, loss: str, tumour: Dice, liver: Dice | None = None, **other: Any) -> Path:
    """Write a complete run whose loss is a function of that name."""
    write_config(folder, {"_target_": f"package.losses.{loss}"} | other.pop("options", {}), **other)
    with (folder / "cases.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["case", "patient", "structure", "dice", "true_voxels"])
        for structure, scores in (("liver", liver or {}), ("tumour", tumour)):
            writer.writerows([case, patient, structure, dice, 7] for (patient, case), dice in scores.items())
    (folder / "metrics.json").write_text(json.dumps({"epochs": 3}))
    return folder


def scores_of(*dice: float) -> dict[tuple[str, str], float | None]:
    """Return one scan for each of patients 0, 1, ..."""
    return {(f"patient-{n:02}", f"case-{n:02}"): value for n, value in enumerate(dice)}
