"""Picture of a case that was asked for: contours of proposal and answer, and the uncertainty of the same slice."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import matplotlib
import numpy as np
from jaxtyping import Float, Int16, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from scipy import ndimage

from lightning_liver.inference.predict_volume import SCALE
from lightning_liver.inference.uncertainty import Kind
from lightning_liver.report.drawing import SMALL, lines_inches, wrap_text, write_png
from lightning_liver.report.pictures import LIVER, TUMOUR, LabelMap, draw_scale, padded_masks

Source = Literal["proposal", "answer"]

_WIDTH = 900 / 130  # inches; 900 pixels
_MARGIN, _GAP, _BAR = 0.08, 0.06, 0.12
_BAR_LABELS = 0.62  # beside the colour bar
_MOST_HEIGHT = 3.6
_TITLE_POINTS, _BOLD = 9.0, 1.2  # and how much wider bold text is, at most
_LEGEND = 0.26
_BORDER_MM = 8.0  # around the body
_CLEAREST, _OPAQUE = 0.15, 0.85  # opacity of the smallest and the largest uncertainty
_TISSUE = 0.5  # grey below the colour bar, as that of a liver
_COLOURS = matplotlib.colormaps["inferno"]  # evenly brighter, also for the colour-blind

KIND_NAMES: Mapping[Kind, str] = {
    "entropy": "entropy, bits",
    "margin": "1 - |2p - 1|",
    "mutual_information": "mutual information, bits",
    "variance": "variance of the probability",
}


class _Stroke(NamedTuple):
    style: Literal["solid", "dashed"]
    width: float
    colours: Mapping[str, str]


# Okabe and Ito. The answer has the colours of all pictures; the proposal has its own, and is dashed
_STROKES: Mapping[Source, _Stroke] = {
    "answer": _Stroke("solid", 1.7, {"liver": LIVER, "tumour": TUMOUR}),
    "proposal": _Stroke("dashed", 1.3, {"liver": "#FFFFFF", "tumour": "#F0E442"}),
}


class _Crop(NamedTuple):
    """Part of a slice that is shown: pixels from `top` to `bottom`, from `left` to `right`, without the last ones."""

    top: int
    bottom: int
    left: int
    right: int


def write_asked_case(
    path: Path,
    hu: Int16[np.ndarray, "z y x"],
    uncertainty: UInt8[np.ndarray, "z y x"] | None,
    proposal: UInt8[np.ndarray, "z y x"] | None,
    answer: UInt8[np.ndarray, "z y x"] | None,
    spacing_mm: tuple[float, float, float],
    *,
    title: str,
    window_hu: tuple[float, float],
    kind: Kind | None,
    z: int | None = None,
) -> int:
    """Draw a slice with its contours beside its map of uncertainty as a PNG file, and return the slice.

    Without a map the scan alone is on the left, and the contours are on the right.

    Args:
        hu: in LPS, from the feet to the head.
        uncertainty: as Prediction.uncertainty; its colours reach to the largest value in the scan. None before there
            is a network.
        proposal: label map 0, 1 liver, 2 tumour of the network; None before there is one.
        answer: label map of the expert; None before the correction.
        title: above the picture, and as the file's description.
        kind: of the uncertainty; None without a map.
        z: the slice, from 0; None takes the one of the highest mean uncertainty, without a map the one with most liver.
    """
    shown = _slice_of(uncertainty, proposal, answer, len(hu)) if z is None else z
    crop = _crop_of(hu[shown], spacing_mm[1:], window_hu[0])
    figure, left, right = _make_figure(title, crop, spacing_mm[1:], bar=uncertainty is not None)
    given: Mapping[Source, UInt8[np.ndarray, "z y x"] | None] = {"answer": answer, "proposal": proposal}
    masks = {source: labels[shown] for source, labels in given.items() if labels is not None}
    for axes in (left, right):
        low, high = window_hu
        axes.imshow(hu[shown], cmap="gray", vmin=low, vmax=high, interpolation="bilinear")
        _frame(axes, crop, spacing_mm[1:])
    remarks = _remarks(masks)
    _name(left, "; ".join([f"slice {shown + 1} of {len(hu)}" + " from the feet" * (not remarks), *remarks]))
    draw_scale(left, (crop.right - crop.left) * spacing_mm[2], ink="white")
    _draw_contours(right if uncertainty is None else left, masks)
    if uncertainty is None or kind is None:
        _name(right, "the same slice with contours" if masks else "")
    else:
        _draw_uncertainty(figure, right, uncertainty[shown], kind, SCALE[kind] * int(uncertainty.max()) / 255)
        _name(right, "uncertainty of the network")
    _draw_legend(figure, masks)
    write_png(figure, path, description=title)
    return shown


def _slice_of(
    uncertainty: UInt8[np.ndarray, "z y x"] | None,
    proposal: UInt8[np.ndarray, "z y x"] | None,
    answer: UInt8[np.ndarray, "z y x"] | None,
    slices: int,
) -> int:
    """Return the slice of the highest mean uncertainty, else of most liver, else the middle one."""
    if uncertainty is not None and uncertainty.any():
        return int(uncertainty.mean(axis=(1, 2)).argmax())
    for labels in (answer, proposal):
        if labels is not None and labels.any():
            return int((labels > 0).sum(axis=(1, 2)).argmax())
    return slices // 2


def _crop_of(hu: Int16[np.ndarray, "y x"], spacing_mm: tuple[float, float], black_hu: float) -> _Crop:
    """Return the part of a slice that holds the body, the largest connected part that is not black; else all of it."""
    parts, count = ndimage.label(hu > black_hu)
    if not count:
        return _Crop(0, hu.shape[0], 0, hu.shape[1])
    body = ndimage.find_objects(parts)[np.bincount(parts.ravel())[1:].argmax()]
    borders = [round(_BORDER_MM / mm) for mm in spacing_mm]
    sides = [
        (max(side.start - border, 0), min(side.stop + border, length))
        for side, border, length in zip(body, borders, hu.shape, strict=True)
    ]
    return _Crop(*sides[0], *sides[1])


def _make_figure(title: str, crop: _Crop, spacing_mm: tuple[float, float], *, bar: bool) -> tuple[Figure, Axes, Axes]:
    """Make two panels that show the crop, with room for title, legend and perhaps a colour bar."""
    across = (_WIDTH - 2 * _MARGIN - _GAP - bar * (_GAP + _BAR + _BAR_LABELS)) / 2
    proportion = (crop.bottom - crop.top) * spacing_mm[0] / ((crop.right - crop.left) * spacing_mm[1])
    high = min(across * proportion, _MOST_HEIGHT)
    text = wrap_text(title, (_WIDTH - 2 * _MARGIN) * SMALL / _TITLE_POINTS / _BOLD)
    above = _MARGIN + lines_inches(text, _TITLE_POINTS) + lines_inches("", SMALL) + _MARGIN
    height = above + high + _LEGEND + _MARGIN
    figure = Figure(figsize=(_WIDTH, height), facecolor="black")
    style: Any = {"fontsize": _TITLE_POINTS, "weight": "bold", "color": "white", "parse_math": False}
    figure.text(_MARGIN / _WIDTH, 1 - _MARGIN / height, text, va="top", **style)
    bottom = (_LEGEND + _MARGIN) / height
    places = (_MARGIN, _MARGIN + across + _GAP)
    left, right = (figure.add_axes((x / _WIDTH, bottom, across / _WIDTH, high / height)) for x in places)
    return figure, left, right


def _frame(axes: Axes, crop: _Crop, spacing_mm: tuple[float, float]) -> None:
    x, y = (crop.left - 0.5, crop.right - 0.5), (crop.bottom - 0.5, crop.top - 0.5)
    axes.set(xlim=x, ylim=y, aspect=spacing_mm[0] / spacing_mm[1], xticks=[], yticks=[])
    axes.set_frame_on(False)


def _remarks(masks: Mapping[Source, LabelMap]) -> list[str]:
    """Say in few words which masks are empty in the slice, and whether the answer is missing."""
    empty = " or ".join(source for source, labels in masks.items() if not labels.any())
    return [f"no liver in {empty}"] * bool(empty) + ["uncorrected"] * ("answer" not in masks)


def _name(axes: Axes, text: str) -> None:
    axes.set_title(text, fontsize=SMALL, color="white", loc="left", pad=4)


def _draw_contours(axes: Axes, masks: Mapping[Source, LabelMap]) -> None:
    for source, labels in masks.items():
        style, width, colours = _STROKES[source]
        x, y = np.arange(-1, labels.shape[1] + 1), np.arange(-1, labels.shape[0] + 1)
        for name, _, inside in padded_masks(labels):
            lines = axes.contour(x, y, inside, [0.5], colors=colours[name], linestyles=style, linewidths=width)
            lines.set_path_effects([withStroke(linewidth=width + 1, foreground="black")])  # an edge on bright tissue
            lines.set_gid(f"{name} {source}")


def _draw_uncertainty(
    figure: Figure, axes: Axes, uncertainty: UInt8[np.ndarray, "y x"], kind: Kind, largest: float
) -> None:
    """Lay a map over a slice, with a colour bar from 0 to the largest value of the scan.

    Args:
        uncertainty: a byte for 0 to SCALE.
    """
    values = uncertainty * (SCALE[kind] / 255)
    top = largest or SCALE[kind]
    axes.imshow(_coloured(values / top), interpolation="nearest")
    _frame_bar(figure, axes, top, KIND_NAMES[kind])


def _coloured(fraction: Float[np.ndarray, "y x"]) -> Float[np.ndarray, "y x rgba"]:
    """Return colours that are the more opaque the larger the value."""
    rgba = _COLOURS(fraction)
    rgba[..., 3] = _CLEAREST + (_OPAQUE - _CLEAREST) * np.clip(fraction, 0, 1)
    return rgba


def _frame_bar(figure: Figure, axes: Axes, top: float, name: str) -> None:
    box = axes.get_position()
    bar = figure.add_axes((box.x1 + _GAP / _WIDTH, box.y0, _BAR / _WIDTH, box.height))
    ramp = np.linspace(0, 1, 256)[:, None]
    bar.imshow(np.full_like(ramp, _TISSUE), cmap="gray", vmin=0, vmax=1, extent=(0, 1, 0, top), aspect="auto")
    bar.imshow(_coloured(ramp), extent=(0, 1, 0, top), origin="lower", aspect="auto")
    bar.yaxis.tick_right()
    bar.yaxis.set_label_position("right")
    bar.set_ylabel(name, fontsize=SMALL, color="white")
    bar.set_xticks([])
    bar.locator_params(axis="y", nbins=5)
    bar.tick_params(labelsize=SMALL, colors="white", length=2)
    bar.set_frame_on(False)


def _draw_legend(figure: Figure, masks: Mapping[Source, LabelMap]) -> None:
    """Name the contours that are drawn, in one line below the panels."""
    handles = [
        Line2D([], [], color=colours[name], linestyle=style, linewidth=width, label=f"{name}, {source}")
        for source, labels in masks.items()
        for style, width, colours in [_STROKES[source]]
        for name, _, _ in padded_masks(labels)
    ]
    where: Any = {"loc": "lower left", "bbox_to_anchor": (_MARGIN / _WIDTH, 0), "borderaxespad": 0.3, "borderpad": 0.2}
    text: Any = {"fontsize": SMALL, "labelcolor": "white", "frameon": False, "handlelength": 2.6}
    if handles:
        figure.legend(handles=handles, ncols=len(handles), **where, **text)
