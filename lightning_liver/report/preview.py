"""Preview of a predicted scan: contours on three axial slices and a coronal one."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int16, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from lightning_liver.files import replacing
from lightning_liver.report.embedding import DESCRIPTION
from lightning_liver.report.pictures import STRUCTURES, draw_scale, padded_masks

_PANEL_INCHES = 3.0
_TITLE_INCHES, _FOOT_INCHES = 0.5, 0.35
_DPI = 110
_QUARTILES = (0.15, 0.5, 0.85)  # of the liver's volume, from the feet to the head
_LINE: Any = {"color": "white", "linewidth": 0.7, "alpha": 0.7}


class _View(NamedTuple):
    """A slice as it is drawn, from the top left, and the edge of its pixels in mm, vertical and horizontal."""

    title: str
    hu: Int16[np.ndarray, "row column"]
    labels: UInt8[np.ndarray, "row column"]
    pixel_mm: tuple[float, float]


def write_preview(
    path: Path,
    hu: Int16[np.ndarray, "z y x"],
    labels: UInt8[np.ndarray, "z y x"],
    spacing_mm: tuple[float, float, float],
    *,
    title: str,
    window_hu: tuple[float, float],
) -> None:
    """Draw a scan with the contours of liver and tumour as a PNG file.

    Args:
        hu, labels: in LPS, from the feet to the head.
        title: above the picture, and as the file's description.
    """
    places, y = preview_places(labels)
    views = [
        _View(f"axial, slice {z + 1} of {len(hu)} from the feet", hu[z], labels[z], (spacing_mm[1], spacing_mm[2]))
        for z in places
    ]
    coronal = _View(
        f"coronal, row {y + 1} of {hu.shape[1]}", hu[::-1, y], labels[::-1, y], (spacing_mm[0], spacing_mm[2])
    )
    figure = _figure([*views, coronal], title, window_hu)
    for number, z in enumerate(places, start=1):
        row = len(hu) - 1 - z
        figure.axes[-1].axhline(row, **_LINE)
        figure.axes[-1].text(0.08 * hu.shape[2], row, str(number), color="white", fontsize=7, va="bottom")
        figure.axes[number - 1].set_title(f"{number}: {views[number - 1].title}", fontsize=8, color="white")
    with replacing(path) as partial:
        figure.savefig(partial, format="png", dpi=_DPI)
        with Image.open(partial) as picture:  # a palette takes a third of the bytes; median cut would lose rare colours
            small = picture.convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
        about = PngInfo()
        about.add_text(DESCRIPTION, title)
        small.save(partial, "png", optimize=True, pnginfo=about)


def preview_places(labels: UInt8[np.ndarray, "z y x"]) -> tuple[list[int], int]:
    """Choose three axial slices, from the head to the feet, and a coronal one.

    The axial slices divide the liver's volume; the slice with most tumour takes the place of the nearest. The coronal
    one has most liver. Without a liver they divide the scan.
    """
    liver, tumour = (labels > 0).sum(axis=(1, 2)), (labels == 2).sum(axis=(1, 2))
    if not liver.any():
        return [int(fraction * (len(labels) - 1)) for fraction in _QUARTILES[::-1]], labels.shape[1] // 2
    filled = np.cumsum(liver) / liver.sum()
    places = [int(np.searchsorted(filled, fraction)) for fraction in _QUARTILES]
    if tumour.any():
        most = int(tumour.argmax())
        nearest = min(range(len(places)), key=lambda n: abs(places[n] - most))
        places[nearest] = most
    return sorted(places, reverse=True), int((labels > 0).sum(axis=(0, 2)).argmax())


def _figure(views: Sequence[_View], title: str, window_hu: tuple[float, float]) -> Figure:
    sizes_mm = [(view.hu.shape[0] * view.pixel_mm[0], view.hu.shape[1] * view.pixel_mm[1]) for view in views]
    high_mm = max(height for height, _ in sizes_mm)
    widths = [_PANEL_INCHES * width / high_mm for _, width in sizes_mm]
    figure = Figure(figsize=(sum(widths), _PANEL_INCHES + _TITLE_INCHES + _FOOT_INCHES), facecolor="black")
    left, (total, tall) = 0.0, figure.get_size_inches()
    for view, width, (height, _) in zip(views, widths, sizes_mm, strict=True):
        inches = _PANEL_INCHES * height / high_mm
        bottom = _FOOT_INCHES + (_PANEL_INCHES - inches) / 2
        axes = figure.add_axes((left / total, bottom / tall, width / total, inches / tall))
        _draw(axes, view, window_hu)
        left += width
    figure.text(0.01, 1 - 0.06 / tall, title, fontsize=9, color="white", va="top")
    figure.legend(
        handles=[Line2D([], [], color=colour, lw=2, label=name) for name, _, colour in STRUCTURES],
        loc="lower left",
        ncols=2,
        fontsize=8,
        frameon=False,
        labelcolor="white",
    )
    return figure


def _draw(axes: Axes, view: _View, window_hu: tuple[float, float]) -> None:
    height, width = view.hu.shape
    low, high = window_hu
    axes.imshow(view.hu, cmap="gray", vmin=low, vmax=high, interpolation="bilinear")
    x, y = np.arange(-1, width + 1), np.arange(-1, height + 1)
    for _, colour, inside in padded_masks(view.labels):
        lines = axes.contour(x, y, inside, [0.5], colors=colour, linewidths=1.2)
        lines.set_path_effects([withStroke(linewidth=2.2, foreground="black")])  # an edge on bright tissue
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5), xticks=[], yticks=[])
    axes.set_aspect(view.pixel_mm[0] / view.pixel_mm[1])
    axes.set_title(view.title, fontsize=8, color="white")
    axes.set_frame_on(False)
    draw_scale(axes, width * view.pixel_mm[1], ink="white")
