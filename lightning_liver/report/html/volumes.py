"""Volumes section: agreement of predicted with true volumes, as Bland and Altman draw it."""

from collections.abc import Sequence
from statistics import mean, stdev
from typing import NamedTuple

from lightning_liver.report.html.blocks import Block, Chart, Row, Section, Text, missing, note
from lightning_liver.report.html.theme import COLOURS, FAINT, INK, RULE, SMALL, make_axes, svg_chart
from lightning_liver.runs.contents import Contents, Line, number
from lightning_liver.types import STRUCTURES

_NORMAL = 1.96  # standard deviations that hold 95 % of a normal distribution
_FEWEST = 3


class VolumeAgreement(NamedTuple):
    """Differences of volumes, predicted minus true, with the limits that hold 95 % of normal differences; mL.

    Source: Bland and Altman 1986, doi:10.1016/S0140-6736(86)90837-8.
    """

    pairs: Sequence[tuple[float, float]]
    bias: float
    low: float
    high: float


def volumes_section(contents: Contents) -> Section:
    """Make the section: bias and limits of agreement in words, and a chart for each structure."""
    title = "Agreement of volumes"
    found = {structure: agreement(contents.cases, structure) for structure in STRUCTURES}
    known = {structure: each for structure, each in found.items() if each is not None}
    if not known:
        return Section("volumes", title, [missing(f"This takes the volumes of {_FEWEST} test cases or more.")])
    blocks: list[Block] = [
        Text(" ".join(_sentence(structure, each) for structure, each in known.items())),
        Row([_chart(structure, each) for structure, each in known.items()]),
        note(
            "Bland and Altman's diagram, a dot for each scan: above zero too much was predicted. The solid line is the "
            "mean difference; the dashed ones are the limits of agreement, 1.96 standard deviations away."
        ),
    ]
    return Section("volumes", title, blocks)


def agreement(cases: Sequence[Line], structure: str) -> VolumeAgreement | None:
    """Return the agreement of volumes of a structure; None for fewer than three cases."""
    read = [
        (number(line.get("true_ml")), number(line.get("predicted_ml")))
        for line in cases
        if line["structure"] == structure
    ]
    pairs = [(true, predicted) for true, predicted in read if true is not None and predicted is not None]
    if len(pairs) < _FEWEST:
        return None
    differences = [predicted - true for true, predicted in pairs]
    bias, spread = mean(differences), _NORMAL * stdev(differences)
    return VolumeAgreement(pairs, bias, bias - spread, bias + spread)


def _sentence(structure: str, each: VolumeAgreement) -> str:
    return (
        f"{structure.capitalize()}: predicted minus true volume is {each.bias:+.1f} mL on average, 95 % limits of "
        f"agreement {each.low:+.1f} to {each.high:+.1f} mL."
    )


def _chart(structure: str, each: VolumeAgreement) -> Chart:
    figure, axes = make_axes(2.6)
    middle = [(true + predicted) / 2 for true, predicted in each.pairs]
    axes.scatter(middle, [p - t for t, p in each.pairs], s=16, color=COLOURS[structure], alpha=0.6, lw=0, clip_on=False)
    axes.axhline(0, color=RULE, lw=0.8)
    for value, style in ((each.bias, "solid"), (each.low, (0, (4, 3))), (each.high, (0, (4, 3)))):
        axes.axhline(value, color=INK if value == each.bias else FAINT, lw=0.9, ls=style)
        axes.text(
            1.01, value, f"{value:+.1f}", transform=axes.get_yaxis_transform(), va="center", size=SMALL, color=INK
        )
    axes.set(xlabel=f"{structure} volume, mean of true and predicted, mL", ylabel="predicted minus true, mL")
    scans = f"Differences of {structure} volumes against their mean in {len(each.pairs)} scans."
    alt = f"{scans} {_sentence(structure, each)}"
    return svg_chart(figure, f"volumes-{structure}", alt=alt, caption=structure.capitalize())
