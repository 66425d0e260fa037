"""Agreement of uncertainty and mistakes: area under the ROC curve and under the risk-coverage curve.

Voxels are counted by their uncertainty, right and wrong apart, so a data set of any size streams through and tables are
merged by their sum. A bin has the uncertainties with equal first 16 bits of their float32, so bins are finer towards 0,
where most voxels are, and values within 1 % count as equal.

Sources: Fawcett 2006, doi:10.1016/j.patrec.2005.10.010; Geifman and El-Yaniv 2017, arXiv:1705.08500;
Geifman et al. 2019, arXiv:1805.08206.
"""

import math

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from lightning_liver.errors import LiverError

BINS = 2**15  # float32 without sign: 8 bits of exponent, 7 of the fraction

Table = Int64[Tensor, "outcome bin"]  # right and wrong voxels


def empty() -> Table:
    """Return a table of zeros."""
    return torch.zeros(2, BINS, dtype=torch.int64)


def update(table: Table, uncertainty: Float[Tensor, "*shape"], wrong: Bool[Tensor, "*shape"]) -> None:
    """Add voxels to a table on the CPU, in place.

    Args:
        uncertainty: 0 or more: an entropy, a variance.
        wrong: True where the voxel's prediction is a mistake.

    Raises:
        LiverError: an uncertainty below 0 or NaN.
    """
    values = uncertainty.detach().cpu().float().flatten()
    if not (values >= 0).all():
        raise LiverError("expected uncertainties of 0 or more, found one below 0 or NaN")
    index = (values + 0.0).view(torch.int32) >> 16  # + 0.0 turns -0 into 0
    for outcome, mine in enumerate((~wrong.cpu().flatten(), wrong.cpu().flatten())):
        table[outcome] += torch.bincount(index[mine], minlength=BINS)


def auroc(table: Table) -> float | None:
    """Return the probability that a wrong voxel is more uncertain than a right one, ties counting half.

    0.5 is uninformative, 1 perfect; None if all voxels are right, or all wrong.
    """
    right, wrong = table.double()
    if not right.sum() or not wrong.sum():
        return None
    below = right.cumsum(0) - right
    return float((wrong * (below + right / 2)).sum() / (right.sum() * wrong.sum()))


def aurc(table: Table) -> float | None:
    """Return the area under the risk-coverage curve: fraction of mistakes among voxels kept, the most certain first.

    Voxels of a bin are in random order. Lower is better: an uninformative uncertainty has the fraction of mistakes, the
    best has best_aurc. None without voxels.
    """
    used = table[:, table.sum(dim=0) > 0].double()
    total = used.sum()
    if not total:
        return None
    end, mistakes = used.sum(dim=0).cumsum(0) / total, used[1].cumsum(0) / total
    start = torch.cat((end.new_zeros(1), end[:-1]))
    slope = used[1] / used.sum(dim=0)  # fraction of mistakes within a bin
    offset = mistakes - slope * end  # 0 in the first bin, whose risk is its slope
    return float((slope * (end - start)).sum() + (offset[1:] * (end[1:] / start[1:]).log()).sum())


def best_aurc(table: Table) -> float | None:
    """Return aurc if every mistake were more uncertain than every right voxel (Geifman et al. 2019)."""
    right, wrong = table.sum(dim=1).tolist()
    if not right + wrong:
        return None
    risk = wrong / (right + wrong)
    return risk + (1 - risk) * math.log(1 - risk) if right else 1.0
