"""Calibration section: reliability diagrams and the expected calibration error."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from lightning_liver.metrics.calibration import expected_calibration_error
from lightning_liver.report.html.blocks import Block, Chart, Row, Section, Text, missing, note
from lightning_liver.report.html.theme import COLOURS, FAINT, RULE, SMALL, make_axes, svg_chart
from lightning_liver.run_folder import NAMES
from lightning_liver.runs.contents import Contents, Line, number
from lightning_liver.types import STRUCTURES


class Bin(NamedTuple):
    """Voxels of similar probability: their mean probability and the observed frequency of the structure."""

    voxels: int
    probability: float
    frequency: float


def calibration_section(contents: Contents) -> Section:
    """Make the section: the calibration errors, and a reliability diagram for each structure."""
    title = "Calibration"
    if contents.calibration is None:
        return Section(
            "calibration", title, [missing(f"This run has no {NAMES.calibration}: no probabilities were saved.")]
        )
    bins = {structure: bins_of(contents.calibration, structure) for structure in STRUCTURES}
    known = [structure for structure in STRUCTURES if bins[structure]]
    if not known:
        return Section("calibration", title, [missing(f"This run's {NAMES.calibration} has no voxels.")])
    errors = {structure: ece(bins[structure]) for structure in known}
    words = ", ".join(f"{structure} {error:.4f}" for structure, error in errors.items())
    blocks: list[Block] = [
        Text(f"Expected calibration error: {words}. 0 is perfect calibration."),
        Row([_reliability(structure, bins[structure], errors[structure]) for structure in known]),
        note(
            "On the diagonal, predicted probability equals observed frequency; below it the network is overconfident. "
            "Larger dots are more voxels. Only voxels with a probability of at least 1 % for liver or tumour count; "
            "the rest is certain background."
        ),
    ]
    return Section("calibration", title, blocks)


def bins_of(lines: Sequence[Line], structure: str) -> list[Bin]:
    """Return the bins of a structure that are not empty."""
    read = [
        (number(line["voxels"]), number(line["mean_probability"]), number(line["true_share"]))
        for line in lines
        if line["structure"] == structure
    ]
    return [Bin(int(n), p, f) for n, p, f in read if n and p is not None and f is not None]


def ece(bins: Sequence[Bin]) -> float:
    """Return the expected calibration error of the bins of one structure."""
    sums = [(b.voxels, b.voxels * b.probability, b.voxels * b.frequency) for b in bins]
    return float(expected_calibration_error(torch.tensor([sums], dtype=torch.float64)))


def _reliability(structure: str, bins: Sequence[Bin], error: float) -> Chart:
    figure, axes = make_axes(3.1, width=3.3)
    most = max(b.voxels for b in bins)
    axes.plot([0, 1], [0, 1], color=FAINT, lw=0.8, ls=(0, (4, 3)))
    axes.plot([b.probability for b in bins], [b.frequency for b in bins], color=COLOURS[structure], lw=1.4)
    sizes = [8 + 52 * (b.voxels / most) ** 0.25 for b in bins]  # from one voxel to a billion
    style: dict[str, Any] = {"color": COLOURS[structure], "alpha": 0.7, "lw": 0, "clip_on": False, "zorder": 3}
    axes.scatter([b.probability for b in bins], [b.frequency for b in bins], s=sizes, **style)
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.set(xlabel=f"predicted probability of {structure}", ylabel="observed frequency")
    axes.grid(color=RULE, lw=0.4)
    axes.text(0.97, 0.04, f"ECE {error:.4f}", ha="right", size=SMALL, color=FAINT, transform=axes.transAxes)
    worst = max(bins, key=lambda b: abs(b.probability - b.frequency))
    alt = (
        f"Reliability of {structure} probabilities in {len(bins)} bins, expected calibration error {error:.4f}; "
        f"largest deviation: predicted {worst.probability:.2f}, observed {worst.frequency:.2f}"
    )
    return svg_chart(figure, f"reliability-{structure}", alt=alt, caption=structure.capitalize())
