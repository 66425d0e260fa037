"""Bare loop: `unet_small` in plain PyTorch, which shares only the network with the framework.

Windowed slices in memory; batches of eight, drawn at random from all slices of all scans; BCE plus Dice, AdamW, cosine
over the budget; autocast to bfloat16 where the processor computes in it, since a step would take minutes elsewhere.
"""

import math
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from experiments.speed.dice.job import Job, Progress, Scan, run
from lightning_liver.models.unet import UNet

LOW, HIGH = -160.0, 240.0
BATCH, RATE = 8, 2e-3


def unet_small() -> UNet:
    """Return the network of conf/model/unet_small.yaml."""
    return UNet(in_channels=1, classes=2, base_channels=16, depth=4, norm="batch", dropout=0.0)


def image_of(scan: Scan) -> Tensor:
    """Return (z, 1, y, x), windowed to [0, 1]."""
    hu = np.asarray(_opened(scan.volume).dataobj, np.float32).T
    return torch.from_numpy(np.clip((hu - LOW) / (HIGH - LOW), 0, 1).copy())[:, None]


def labels_of(scan: Scan) -> Tensor:
    """Return (z, y, x)."""
    return torch.from_numpy(np.asarray(_opened(scan.labels).dataobj).astype(np.uint8).T.copy())


def write_mask(scan: Scan, labels: np.ndarray, target: Path) -> None:
    """Write labels (z, y, x) on the scan's own grid."""
    image = nib.Nifti1Image(labels.T.astype(np.uint8), _opened(scan.volume).affine)
    nib.save(image, target / scan.mask)


def loss_of(logits: Tensor, labels: Tensor) -> Tensor:
    """Return BCE plus the Dice loss of liver with tumour, and of tumour, over the batch."""
    target = torch.stack((labels >= 1, labels == 2), dim=1).float()
    found = logits.sigmoid()
    overlap, sizes = (found * target).sum((0, 2, 3)), (found + target).sum((0, 2, 3))
    dice = (2 * overlap + 1) / (sizes + 1)
    return binary_cross_entropy_with_logits(logits, target) + 1 - dice.mean()


def train(job: Job, progress: Progress) -> None:
    images = torch.cat([image_of(scan) for scan in job.train])
    labels = torch.cat([labels_of(scan) for scan in job.train])
    network = unet_small().train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE)
    progress.notes["precision"] = "bf16" if has_bfloat16() else "float32"
    clock = progress.start(network)
    while clock.is_running:
        set_rate(optimizer, RATE, clock.progress)
        chosen = torch.randint(len(images), (BATCH,))
        with autocast():
            logits = network(images[chosen])
        loss: Any = loss_of(logits.float(), labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        clock.tick()
    clock.finish()


def has_bfloat16() -> bool:
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, probe, lambda: False)() for probe in probes)


def autocast() -> torch.autocast:
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=has_bfloat16())


def set_rate(optimizer: torch.optim.Optimizer, rate: float, progress: float) -> None:
    """Lower the learning rate to 0 on a cosine over the budget."""
    for group in optimizer.param_groups:
        group["lr"] = rate * 0.5 * (1 + math.cos(math.pi * progress))


@torch.no_grad()
def predict(job: Job, weights: Path, target: Path) -> None:
    network = unet_small()
    network.load_state_dict(torch.load(weights, weights_only=True))
    for scan in job.held:
        logits = _logits(network.eval(), image_of(scan))
        labels = torch.where(logits[:, 1] > 0, 2, (logits[:, 0] > 0).to(torch.uint8))
        write_mask(scan, labels.numpy(), target)


def _logits(network: nn.Module, images: Tensor) -> Tensor:
    with autocast():
        return torch.cat([network(batch).float() for batch in torch.split(images, BATCH)])


def _opened(path: str) -> Any:
    return nib.load(path)


if __name__ == "__main__":
    run(train, predict, {"torch": torch.__version__})
