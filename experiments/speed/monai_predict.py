"""python -m experiments.speed.monai_predict WEIGHTS SCAN OUTPUT

A network of ours as MONAI's transforms and its inferer for slices apply it: read, turned, resampled in plane, windowed,
predicted window by window, brought back to the scan's grid, made a label map and written.
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

from lightning_liver.models.unet import UNet

MATRIX = 256


def main(weights: Path, scan: Path, output: Path) -> None:
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    kept = torch.load(weights, weights_only=True)
    network = UNet(in_channels=1, classes=2, base_channels=16, depth=4, norm="batch", dropout=0.0).eval()
    network.load_state_dict(kept["weights"])
    low, high = kept["window_hu"]
    spacing_mm = kept["spacing_mm"] * (1 + 1 / MATRIX)  # from centre to centre of the outermost pixels, as MONAI counts
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
    """Liver and tumour, one after the other, as 0, 1 and 2."""
    return torch.where(masks[1:] > 0, 2.0, masks[:1])


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:]))
