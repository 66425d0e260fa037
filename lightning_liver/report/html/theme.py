"""Drawings in the colours and the font of their page, light or dark."""

import re
from io import StringIO

import matplotlib
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lightning_liver.report.html.blocks import Chart

# Placeholder colours: svg_chart replaces each by its CSS variable, so all differ
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

SIZE, SMALL = 8.5, 7.5  # points, in a drawing of WIDTH inches, about the width of a phone
WIDTH = 4.2
_WIDEST_REM = 32


def make_axes(height: float, *, width: float = WIDTH) -> tuple[Figure, Axes]:
    """Make a plot of this size in inches, with a rule at the bottom and at the left."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["bottom", "left"]].set_color(RULE)
    axes.tick_params(colors=FAINT, labelsize=SMALL, length=2.5, color=RULE)
    axes.xaxis.label.set(color=INK, size=SIZE)
    axes.yaxis.label.set(color=INK, size=SIZE)
    return figure, axes


def svg_chart(figure: Figure, name: str, *, alt: str, caption: str = "") -> Chart:
    """Return a figure as SVG without a background; equal figures of one name give equal text.

    Args:
        name: prefix of its ids, unique on the page.
        alt: its content in words.
    """
    svg = StringIO()
    with matplotlib.rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
        figure.savefig(svg, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return Chart(Markup(_adapt_to_page(svg.getvalue(), name, alt)), alt, caption)


def _adapt_to_page(svg: str, name: str, alt: str) -> str:
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", svg)
    svg = re.sub(r"<style.*?</style>", "", svg, count=1, flags=re.DOTALL)  # it would style the whole page
    svg = re.sub(r"font-family: [^;\"]*", "font-family: var(--sans)", svg)
    svg = re.sub(r"(font: [^;\"]*?px) [^;\"]*", r"\1 var(--sans)", svg)
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, f"var(--{variable})")
    box = re.search(r'viewBox="0 0 ([\d.]+) [\d.]+"', svg)
    assert box
    width_rem = float(box[1]) / 72 / WIDTH * _WIDEST_REM  # so that text has one size in all drawings
    head = f'<svg {box[0]} style="max-width: {width_rem:.1f}rem" role="img" aria-label="{escape(alt)}">'
    return re.sub(r"<svg[^>]*>", lambda _: head, svg, count=1)
