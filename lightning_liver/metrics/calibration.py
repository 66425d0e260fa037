"""Calibration of probabilities: of the voxels with a tumour probability of 80 %, are 80 % tumour?

Voxels are counted in bins of equal width, so a data set of any size streams through: tables of batches, cases and
processes are merged by their sum. Most voxels of a scan are far from the liver and predicted so with certainty, which
alone makes the expected calibration error of all voxels small. For the error of a region, give its voxels only.

Sources: Naeini et al. 2015, doi:10.1609/aaai.v29i1.9602; Guo et al. 2017, arXiv:1706.04599 (there for the winning
class, here for each structure).
"""

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from lightning_liver.errors import LiverError
from lightning_liver.tables import Row
from lightning_liver.types import STRUCTURES

Bins = Float64[Tensor, "cls bin 3"]  # voxels, the sum of their probabilities, true voxels; exact below 2 ** 53


def empty(bins: int) -> Bins:
    """Return a table of zeros."""
    return torch.zeros(len(STRUCTURES), bins, 3, dtype=torch.float64)


def update(
    table: Bins, probabilities: Float[Tensor, "batch cls *space"], truth: Bool[Tensor, "batch cls *space"]
) -> None:
    """Add voxels to a table on the CPU, in place.

    Args:
        probabilities: of liver (tumours included) and of tumour, from 0 to 1.
        truth: True where a voxel belongs to the structure.

    Raises:
        LiverError: a value outside [0, 1].
    """
    for c in range(len(STRUCTURES)):
        table[c] += _bins_of(probabilities[:, c].flatten(), truth[:, c].flatten(), table.shape[1])


def expected_calibration_error(table: Bins) -> Float64[Tensor, " cls"]:
    """Return the mean over voxels of |true fraction - mean probability| of the voxel's bin; NaN without voxels."""
    voxels, probability, true = table.unbind(-1)
    return (true - probability).abs().sum(dim=-1) / voxels.sum(dim=-1)


def calibration_rows(table: Bins) -> list[Row]:
    """Return the rows of calibration.csv, one for each structure and bin; None where a bin is empty."""
    count = table.shape[1]
    return [
        {
            "structure": structure,
            "bin_low": n / count,
            "bin_high": (n + 1) / count,
            "voxels": int(voxels),
            "mean_probability": probability / voxels if voxels else None,
            "true_share": true / voxels if voxels else None,
        }
        for structure, bins in zip(STRUCTURES, table.tolist(), strict=True)
        for n, (voxels, probability, true) in enumerate(bins)
    ]


def _bins_of(
    probabilities: Float[Tensor, " voxel"], truth: Bool[Tensor, " voxel"], count: int
) -> Float64[Tensor, "bin 3"]:
    p = probabilities.cpu().double()
    if not ((p >= 0) & (p <= 1)).all():
        raise LiverError("expected probabilities in [0, 1]; apply sigmoid to the logits")
    index = (p * count).long().clamp(max=count - 1)
    ones = torch.ones_like(p)
    sums = [torch.bincount(index, weights, count).double() for weights in (ones, p, truth.cpu().double())]
    return torch.stack(sums, dim=-1)
