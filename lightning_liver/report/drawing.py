"""Shared parts of figures of results: colours, a figure that fits its texts, and small PNG files.

The background is white and opaque, so that figures are legible on a dark page too.
"""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from textwrap import wrap

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from lightning_liver.files import replacing
from lightning_liver.report.embedding import DESCRIPTION

# Okabe and Ito, "Color Universal Design" (2008): distinguishable for the colour-blind.
BLUE, VERMILION = "#0072B2", "#D55E00"
INK, FAINT, RULE, BAND = "#222222", "#5E5E5E", "#B8B8B8", "#F3F4F6"
SIZE, SMALL = 9.0, 7.5  # points
DPI = 130

_COLOURS = 256
_POINTS_PER_INCH = 72
_MARGIN, _GAP = 0.15, 0.1  # inches
_TITLE_INCHES, _LEGEND_INCHES = 0.42, 0.24


def make_figure(
    title: str,
    caption: str,
    *,
    plot: tuple[float, float],
    left: float,
    right: float,
    above: float = 0.0,
    below: float,
    handles: Sequence[Artist] = (),
) -> tuple[Figure, Axes]:
    """Make a figure of the size that a plot, its margins, title, legend and caption need.

    Args:
        plot: width and height of the plot, in inches.
        left, right, above, below: inches for the plot's labels.
    """
    width = max(_MARGIN + left + plot[0] + right + _MARGIN, text_inches(title, 11, "bold") + 2 * _MARGIN)
    text = wrap_text(caption, width - 2 * _MARGIN)
    foot = _MARGIN + lines_inches(text, SMALL) + _GAP
    bottom = foot + (_LEGEND_INCHES + _GAP if handles else 0) + below
    height = bottom + plot[1] + above + _TITLE_INCHES
    figure = Figure(figsize=(width, height), facecolor="white")
    axes = figure.add_axes(((_MARGIN + left) / width, bottom / height, plot[0] / width, plot[1] / height))
    figure.text(_MARGIN / width, 1 - _MARGIN / height, title, fontsize=11, weight="bold", color=INK, va="top")
    figure.text(_MARGIN / width, _MARGIN / height, text, fontsize=SMALL, color=FAINT, va="bottom", linespacing=1.3)
    if handles:
        figure.legend(
            handles=list(handles),
            loc="lower left",
            bbox_to_anchor=(_MARGIN / width, foot / height),
            borderaxespad=0,
            borderpad=0,
            ncols=len(handles),
            fontsize=SMALL + 0.5,
            frameon=False,
        )
    return figure, axes


def text_inches(text: str, size: float = SIZE, weight: str = "normal") -> float:
    """Return the width of a text's longest line."""
    font = FontProperties(weight=weight)
    # TextPath would read text between dollars as mathematics and measure it too narrow
    lines = [line.replace("$", "8") for line in text.splitlines() if line.strip()]
    ends = [float(TextPath((0, 0), line, size=size, prop=font).get_extents().x1) for line in lines]
    return max(ends, default=0.0) / _POINTS_PER_INCH


def lines_inches(text: str, size: float = SIZE) -> float:
    """Return the height of a text."""
    return (text.count("\n") + 1) * 1.35 * size / _POINTS_PER_INCH


def break_name(name: str, characters: int) -> str:
    """Break a long name into lines, at spaces only."""
    return "\n".join(wrap(name, characters, break_long_words=False, break_on_hyphens=False)) or name


def wrap_text(text: str, inches: float, *, lines: int | None = None) -> str:
    """Break a text of size SMALL into lines no wider than `inches`; further lines than `lines` are cut off."""
    needed = text_inches(text, SMALL)
    if needed <= inches:
        return text
    return "\n".join(wrap(text, max(20, int(0.96 * inches / needed * len(text))), max_lines=lines, placeholder=" …"))


def write_png(figure: Figure, path: Path, *, colours: int = _COLOURS, description: str = "") -> None:
    """Write a figure whole or not at all; equal figures make equal files.

    Args:
        colours: in the palette; fewer make a smaller file.
        description: of its content, kept in the file.
    """
    png, about = BytesIO(), PngInfo()
    if description:
        about.add_text(DESCRIPTION, description)
    figure.savefig(png, format="png", dpi=DPI, facecolor=figure.get_facecolor())
    with replacing(path) as partial, Image.open(png) as picture:
        # a palette takes a third of the bytes; median cut would lose rare colours
        picture.convert("RGB").quantize(colours, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(
            partial, "png", optimize=True, pnginfo=about
        )
