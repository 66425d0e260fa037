"""python -m experiments.speed.monai_predict RUN SCAN OUTPUT

The network of one of our runs, as MONAI's transforms and its inferer for slices apply it: read, turned, resampled in
plane, windowed, predicted window by window, brought back to the scan's grid and written.
"""

import sys
from pathlib import Path

import torch
from monai.data import Dataset, decollate_batch, list_data_collate
from monai.inferers import SliceInferer
from monai.transforms import (
    AsDiscreted,
    Compose,
    EnsureChannelFirstd,
    Invertd,
    LoadImaged,
    Orientationd,
    SaveImaged,
    ScaleIntensityRanged,
    Spacingd,
)

from lightning_liver.finished import appearance, read_run

MATRIX = 256


def main(folder: Path, scan: Path, output: Path) -> None:
    run = read_run(folder)
    low, high = appearance(run, folder).window_hu
    spacing_mm = run.config.data.spacing_mm
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
            SaveImaged("logits", output_dir=output, separate_folder=False, print_log=False),
        ]
    )
    inferer = SliceInferer(roi_size=(MATRIX, MATRIX), sw_batch_size=8, spatial_dim=2, overlap=0.25)
    batch = list_data_collate([Dataset([{"image": str(scan)}], before)[0]])
    with torch.inference_mode():
        batch["logits"] = inferer(batch["image"], run.network)
    for one in decollate_batch(batch):
        after(one)


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:]))
