"""Whether probabilities mean what they say: reliability diagrams and the expected calibration error."""

from collections.abc import Sequence
from typing import NamedTuple

import torch

from lightning_liver.metrics.calibration import expected_calibration_error
from lightning_liver.report.html.blocks import Block, Chart, Row, Section, Text, missing, note
from lightning_liver.report.html.theme import COLOURS, FAINT, RULE, SMALL, axes_of, chart
from lightning_liver.runs.contents import Contents, Line, number
from lightning_liver.types import STRUCTURES


class Bin(NamedTuple):
    """Voxels whose probabilities are alike: what the network said of them, and how many are what it said."""

    voxels: int
    said: float
    true: float


def calibration_section(contents: Contents) -> Section:
    """A reliability diagram for each structure, and its error in a sentence."""
    title = "Calibration"
    if contents.calibration is None:
        return Section("calibration", title, [missing("This run kept no probabilities: it has no calibration.csv.")])
    bins = {structure: bins_of(contents.calibration, structure) for structure in STRUCTURES}
    known = [structure for structure in STRUCTURES if bins[structure]]
    if not known:
        return Section("calibration", title, [missing("This run's calibration.csv has no voxels.")])
    errors = {structure: ece(bins[structure]) for structure in known}
    words = ", ".join(f"{structure} {error:.4f}" for structure, error in errors.items())
    blocks: list[Block] = [
        Text(f"Expected calibration error: {words}. 0 would be perfect."),
        Row([_reliability(structure, bins[structure], errors[structure]) for structure in known]),
        note(
            "On the diagonal a probability is the share of voxels that are what it says; below it the network is too "
            "sure. Larger dots are more voxels. Only voxels count that have at least 1 % of liver or of tumour: the "
            "rest is background that no network doubts."
        ),
    ]
    return Section("calibration", title, blocks)


def bins_of(lines: Sequence[Line], structure: str) -> list[Bin]:
    """The bins of a structure that hold voxels."""
    read = [
        (number(line["voxels"]), number(line["mean_probability"]), number(line["true_share"]))
        for line in lines
        if line["structure"] == structure
    ]
    return [Bin(int(n), said, true) for n, said, true in read if n and said is not None and true is not None]


def ece(bins: Sequence[Bin]) -> float:
    """Return the expected calibration error of the bins of one structure."""
    table = torch.tensor([[(b.voxels, b.voxels * b.said, b.voxels * b.true) for b in bins]], dtype=torch.float64)
    return float(expected_calibration_error(table))


def _reliability(structure: str, bins: Sequence[Bin], error: float) -> Chart:
    figure, axes = axes_of(3.1, width=3.3)
    most = max(b.voxels for b in bins)
    axes.plot([0, 1], [0, 1], color=FAINT, lw=0.8, ls=(0, (4, 3)))
    axes.plot([b.said for b in bins], [b.true for b in bins], color=COLOURS[structure], lw=1.4)
    sizes = [8 + 52 * (b.voxels / most) ** 0.25 for b in bins]  # from one voxel to a thousand million
    axes.scatter([b.said for b in bins], [b.true for b in bins], s=sizes, color=COLOURS[structure], alpha=0.7, lw=0,
                 clip_on=False, zorder=3)  # fmt: skip
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.set(xlabel=f"probability of {structure}", ylabel="share that is")
    axes.grid(color=RULE, lw=0.4)
    axes.text(0.97, 0.04, f"ECE {error:.4f}", ha="right", size=SMALL, color=FAINT, transform=axes.transAxes)
    worst = max(bins, key=lambda b: abs(b.said - b.true))
    alt = (
        f"Reliability of {structure} probabilities in {len(bins)} bins, expected calibration error {error:.4f}; "
        f"farthest off: said {worst.said:.2f}, true {worst.true:.2f}"
    )
    return chart(figure, f"reliability-{structure}", alt=alt, caption=structure.capitalize())
