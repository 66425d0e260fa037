"""MONAI's BasicUNet in MONAI's own pipeline: cached volumes, half of the slices around labels, DiceCE, SliceInferer.

It follows MONAI's tutorials: Adam in float32, flips, rotations and intensity shifts. Our choices are the learning rate,
1e-3 on a cosine over the budget, and cached foreground indices. It trains on all scans and validates on none.
"""

from pathlib import Path
from typing import Any

import torch
from monai import __version__
from monai.data import CacheDataset, DataLoader
from monai.inferers import SliceInferer
from monai.losses import DiceCELoss
from monai.networks.nets import BasicUNet
from monai.transforms import (
    Compose,
    EnsureChannelFirstd,
    FgBgToIndicesd,
    LoadImaged,
    RandCropByPosNegLabeld,
    RandFlipd,
    RandRotate90d,
    RandShiftIntensityd,
    ScaleIntensityRanged,
    SqueezeDimd,
)
from monai.utils import set_determinism

from experiments.speed.dice.bare import HIGH, LOW, set_rate, unet_small, write_mask
from experiments.speed.dice.job import Job, Progress, Scan, run
from experiments.speed.flops import gigaflops

FEATURES = (16, 32, 64, 128, 256, 16)  # as unet_small, so that FLOPs agree within 7 %
SIZE, RATE = 256, 1e-3
SCANS, SLICES = 2, 4  # of a batch: number of scans, slices of each
BOTH = ("image", "label")


def network() -> BasicUNet:
    return BasicUNet(spatial_dims=2, in_channels=1, out_channels=3, features=FEATURES)


def reading(keys: tuple[str, ...]) -> list[Any]:
    window = ScaleIntensityRanged("image", LOW, HIGH, 0.0, 1.0, clip=True)
    return [LoadImaged(keys), EnsureChannelFirstd(keys), window]


def transforms() -> Compose:
    """Return deterministic transforms, which are cached, then random ones."""
    slices = RandCropByPosNegLabeld(
        BOTH,
        label_key="label",
        spatial_size=(SIZE, SIZE, 1),
        pos=1,
        neg=1,
        num_samples=SLICES,
        fg_indices_key="label_fg_indices",
        bg_indices_key="label_bg_indices",
        allow_smaller=True,
    )
    changes = [*(RandFlipd(BOTH, prob=0.1, spatial_axis=axis) for axis in (0, 1)), RandRotate90d(BOTH, prob=0.1)]
    shift = RandShiftIntensityd("image", offsets=0.1, prob=0.5)
    return Compose([*reading(BOTH), FgBgToIndicesd("label"), slices, SqueezeDimd(BOTH, dim=-1), *changes, shift])


def train(job: Job, progress: Progress) -> None:
    set_determinism(job.seed)
    progress.notes["gigaflops"] = {"BasicUNet": gigaflops(network(), SIZE), "unet_small": gigaflops(unet_small(), SIZE)}
    print(progress.notes, flush=True)
    files = [{"image": scan.volume, "label": scan.labels} for scan in job.train]
    loader = DataLoader(CacheDataset(files, transforms(), progress=False), batch_size=SCANS, shuffle=True)
    model, loss = network().train(), DiceCELoss(to_onehot_y=True, softmax=True)
    optimizer = torch.optim.Adam(model.parameters(), RATE)
    clock = progress.start(model)
    while clock.is_running:
        for batch in loader:
            set_rate(optimizer, RATE, clock.progress)
            optimizer.zero_grad()
            loss(model(batch["image"]), batch["label"]).backward()
            optimizer.step()
            clock.tick()
            if not clock.is_running:
                break
    clock.finish()


@torch.no_grad()
def predict(job: Job, weights: Path, target: Path) -> None:
    model = network().eval()
    model.load_state_dict(torch.load(weights, weights_only=True))
    inferer = SliceInferer(roi_size=(SIZE, SIZE), spatial_dim=2, sw_batch_size=SCANS * SLICES)
    for scan in job.held:
        logits = inferer(_image(scan), model)
        write_mask(scan, logits[0].argmax(dim=0).numpy().T, target)


def _image(scan: Scan) -> torch.Tensor:
    made: dict[str, torch.Tensor] = Compose(reading(("image",)))({"image": scan.volume})
    return torch.as_tensor(made["image"])[None].as_subclass(torch.Tensor)


if __name__ == "__main__":
    run(train, predict, {"torch": torch.__version__, "monai": __version__})
