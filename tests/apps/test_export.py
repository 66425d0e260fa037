"""liver-export, of run folders that were never trained: random weights are as hard to copy."""

import json
import os
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
from torch import Tensor, nn

from experiments.export.predict_onnx import resized
from lightning_liver.build import build, prepared
from lightning_liver.config import compose
from lightning_liver.data.resample import resample_hu
from lightning_liver.data.slices import Appearance, WholeSlices
from lightning_liver.exporting import describe, thresholds
from lightning_liver.errors import LiverError
from lightning_liver.finished import appearance, read_run
from lightning_liver.formats import torch_export
from lightning_liver.inference.volumes import to_grid, whole_slice_logits
from tests.apps.commands import call
from tests.conftest import write_scan

SCRIPT = Path(__file__).parents[2] / "experiments" / "export" / "predict_onnx.py"
LOOK = {"window_hu": [-160.0, 240.0], "context": 1, "mean": 0.3, "std": 0.25}
SMALL = ("model.base_channels=4", "model.depth=2", "data.context=1")


class Levels(nn.Module):
    """Logits at two resolutions, coarse to fine, when it trains or when it is `stubborn`."""

    def __init__(self, *, stubborn: bool) -> None:
        super().__init__()
        self.stubborn, self.layer = stubborn, nn.Conv2d(3, 2, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor | list[Tensor]:
        fine = self.layer(images)
        return [nn.functional.avg_pool2d(fine, 2), fine] if self.training or self.stubborn else fine


class Undecided(nn.Module):
    """What it computes depends on the width, or the brightness, of slices."""

    def __init__(self, *, on: str) -> None:
        super().__init__()
        self.on, self.layer = on, nn.Conv2d(3, 2, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        turned = images.shape[-1] > 2 * 32 if self.on == "width" else bool(images.mean() > 0)
        logits: Tensor = self.layer(images)
        return -logits if turned else logits


def run_folder(folder: Path, *overrides: str) -> Path:
    """A run of the scans in `scans` beside it, as far as its checkpoint."""
    cfg = compose("train", ["data=lits", f"data.root={folder.parent / 'scans'}", "data.workers=0", *SMALL, *overrides])
    torch.manual_seed(0)
    network = build(cfg.model)
    for name, tensor in network.state_dict().items():
        if name.endswith("running_mean"):
            tensor.normal_(std=0.1)
    for part in (".hydra", "checkpoints"):
        (folder / part).mkdir(parents=True)
    from omegaconf import OmegaConf

    OmegaConf.save(cfg, folder / ".hydra" / "config.yaml")
    state = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    look = LOOK | {"context": cfg.data.context}
    torch.save({"state_dict": state, "SliceDataModule": look}, folder / "checkpoints" / "best.ckpt")
    return folder
