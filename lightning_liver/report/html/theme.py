"""Drawings that take the colours and the letters of the page that they are in, light or dark."""

import re
from io import StringIO

import matplotlib
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lightning_liver.report.html.blocks import Chart

# Matplotlib wants colours, the page has variables: each colour here stands for one, and is no other's
INK, FAINT, RULE, PAPER = "#010001", "#010002", "#010003", "#010004"
LIVER, TUMOUR, HUMAN = "#010005", "#010006", "#010007"
COLOURS = {"liver": LIVER, "tumour": TUMOUR}
_VARIABLES = {
    INK: "ink",
    FAINT: "faint",
    RULE: "rule",
    PAPER: "paper",
    LIVER: "liver",
    TUMOUR: "tumour",
    HUMAN: "human",
}

SIZE, SMALL = 8.5, 7.5  # in a drawing of WIDTH inches, which is about as wide as a phone
WIDTH = 4.2
_WIDEST_REM = 32


def make_axes(height: float, *, width: float = WIDTH) -> tuple[Figure, Axes]:
    """A bare plot of some inches, with a rule at the bottom and at the left."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["bottom", "left"]].set_color(RULE)
    axes.tick_params(colors=FAINT, labelsize=SMALL, length=2.5, color=RULE)
    axes.xaxis.label.set(color=INK, size=SIZE)
    axes.yaxis.label.set(color=INK, size=SIZE)
    return figure, axes


def svg_chart(figure: Figure, name: str, *, alt: str, caption: str = "") -> Chart:
    """The drawing as SVG without a background; equal drawings of one name are equal texts.

    Args:
        name: tells its inner names from those of other drawings on the page.
        alt: what it shows, in words.
    """
    drawn = StringIO()
    with matplotlib.rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
        figure.savefig(drawn, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return Chart(Markup(_of_the_page(drawn.getvalue(), name, alt)), alt, caption)


def _of_the_page(svg: str, name: str, alt: str) -> str:
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", svg)
    svg = re.sub(r"<style.*?</style>", "", svg, count=1, flags=re.DOTALL)  # it speaks to the whole page
    svg = re.sub(r"font-family: [^;\"]*", "font-family: var(--sans)", svg)
    svg = re.sub(r"(font: [^;\"]*?px) [^;\"]*", r"\1 var(--sans)", svg)
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, f"var(--{variable})")
    box = re.search(r'viewBox="0 0 ([\d.]+) [\d.]+"', svg)
    assert box
    width_rem = float(box[1]) / 72 / WIDTH * _WIDEST_REM  # letters of all drawings are of one size
    head = f'<svg {box[0]} style="max-width: {width_rem:.1f}rem" role="img" aria-label="{escape(alt)}">'
    return re.sub(r"<svg[^>]*>", lambda _: head, svg, count=1)
