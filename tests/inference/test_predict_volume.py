"""In prediction a network gets the same input as in training."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from lightning_liver.data.prepare import prepare
from lightning_liver.data.slices import Normalization
from lightning_liver.data.sources import Case
from lightning_liver.imageio.nifti import read_volume
from lightning_liver.inference.network import TrainedNetwork
from lightning_liver.inference.postprocess import PostProcess
from lightning_liver.inference.predict_volume import VolumeOptions, predict_volume
from lightning_liver.inference.thresholds import HALF

LOOK = Normalization((-160.0, 240.0), context=1, mean=0.3, std=0.2)


class Watched(torch.nn.Module):
    """Keeps its input."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[torch.Tensor] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.seen.append(images)
        return images[:, :2]


@pytest.mark.parametrize("spacing_mm", [None, 1.7])
def test_slices_equal_those_of_the_store(tmp_path: Path, spacing_mm: float | None) -> None:
    """Also outside of the HU range: -3024 around the field of view, metal."""
    hu = np.random.default_rng(0).integers(-200, 300, (24, 20, 6)).astype(np.int16)
    hu[:5], hu[12:15, 8:11] = -3024, 9000
    path = tmp_path / "volume-1.nii.gz"
    nib.save(nib.Nifti1Image(hu, np.diag([0.8, 1.1, 3.0, 1])), path)
    case = Case("1", "1", path, None)
    store = prepare([case], store=tmp_path / "store", spacing_mm=spacing_mm, workers=0, skip_bad=False)
    expected = torch.stack([LOOK.tensor(LOOK.hu(store, "1", z)) for z in range(6)])
    network = Watched()
    options = VolumeOptions.masks_alone(
        thresholds=HALF,
        post_process=PostProcess(),
        batch_size=4,
        flips=((),),
        autocast=None,
        device=torch.device("cpu"),
    )
    predict_volume(read_volume(path), [TrainedNetwork(network, LOOK, spacing_mm, 1)], options)
    assert torch.equal(torch.cat(network.seen), expected)
