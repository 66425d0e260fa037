"""Predict a scan by our network in MONAI's pipeline: monai_predict WEIGHTS SCAN OUTPUT.

MONAI's transforms read, reorient, resample in plane and window the scan, its SliceInferer predicts, and transforms
bring the logits back to the scan's grid, convert them to labels and write them.
"""

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import Dataset, decollate_batch, list_data_collate
from monai.inferers import SliceInferer
from monai.transforms import (
    AsDiscreted,
    Compose,
    EnsureChannelFirstd,
    Invertd,
    Lambdad,
    LoadImaged,
    Orientationd,
    SaveImaged,
    ScaleIntensityRanged,
    Spacingd,
)

from experiments.speed.dice.bare import unet_small

MATRIX = 256


def main(weights: Path, scan: Path, output: Path) -> None:
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    saved = torch.load(weights, weights_only=True)
    network = unet_small().eval()
    network.load_state_dict(saved["weights"])
    low, high = saved["window_hu"]
    spacing_mm = saved["spacing_mm"] * (1 + 1 / MATRIX)  # MONAI measures between the centres of the outermost pixels
    before = Compose(
        [
            LoadImaged("image"),
            EnsureChannelFirstd("image"),
            Orientationd("image", axcodes="LPS", labels=None),
            Spacingd("image", pixdim=(spacing_mm, spacing_mm, -1), mode="bilinear"),
            ScaleIntensityRanged("image", low, high, 0, 1, clip=True),
        ]
    )
    after = Compose(
        [
            Invertd("logits", before, orig_keys="image", nearest_interp=False, to_tensor=True),
            AsDiscreted("logits", threshold=0.0),
            Lambdad("logits", labels),
            SaveImaged("logits", output_dir=output, output_dtype=np.uint8, separate_folder=False, print_log=False),
        ]
    )
    inferer = SliceInferer(roi_size=(MATRIX, MATRIX), sw_batch_size=8, spatial_dim=2, overlap=0.25)
    batch = list_data_collate([Dataset([{"image": str(scan)}], before)[0]])
    if max(batch["image"].shape[2:4]) > MATRIX:
        raise RuntimeError(f"slices of {tuple(batch['image'].shape[2:4])} pixels would take several windows each")
    with torch.inference_mode():
        batch["logits"] = inferer(batch["image"], network)
    for one in decollate_batch(batch):
        after(one)


def labels(masks: Any) -> Any:
    """Convert liver and tumour channels to labels 0, 1, 2."""
    return torch.where(masks[1:] > 0, 2.0, masks[:1])


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:]))
