"""Pictures of one axial slice: CT, contours and masks as files, and panels for TensorBoard.

Arrays are in LPS, so a slice drawn from the top left has the radiological orientation: front up, the patient's right on
the viewer's left.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import matplotlib
import numpy as np
from jaxtyping import Bool, Float, Int16, UInt8
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke

from lightning_liver.report.embedding import DESCRIPTION
from lightning_liver.report.mistakes import MISTAKES, mistakes
from lightning_liver.report.numbers import number_text

LabelMap = UInt8[np.ndarray, "y x"]
Ink = Literal["white", "black"]

# Okabe and Ito, "Color Universal Design" (2008): distinguishable for the colour-blind, also from grey.
LIVER, TUMOUR = "#56B4E9", "#E69F00"
BACKGROUND = "#20262C"


class _Stroke(NamedTuple):
    style: Literal["solid", "dashed"]
    width: float


STRUCTURES = (("liver", 1, LIVER), ("tumour", 2, TUMOUR))  # name, lowest label, colour
_STROKES = {"truth": _Stroke("solid", 2.0), "prediction": _Stroke("dashed", 1.2)}
_BARE: Any = {"frameon": False}
_SHADOW: Any = {"facecolor": "black", "edgecolor": "none", "framealpha": 0.6}
_PANEL_INCHES = 3.6
_TITLE_INCHES = 6.2
_DPI = 150
_BARS_MM = (200, 100, 50, 20, 10, 5)


@dataclass(frozen=True)
class PictureSlice:
    """One axial slice of a case.

    Args:
        case: its name.
        z: index of the slice in the volume, from 0; the title counts from 1, as ITK-SNAP and the viewer do.
        hu: Hounsfield units.
        truth, prediction: label maps 0, 1, 2 on the same grid.
        spacing_mm: distance between pixel centres along y and x; None if unknown, then pixels are drawn square and
            there is no scale bar.
        dice: Dice of the whole case by structure, for the title; None where undefined.
    """

    case: str
    z: int
    hu: Int16[np.ndarray, "y x"]
    truth: LabelMap
    prediction: LabelMap
    spacing_mm: tuple[float, float] | None
    dice: Mapping[str, float | None]


def write_pictures(folder: Path, stem: str, shown: PictureSlice, *, window_hu: tuple[float, float]) -> list[Path]:
    """Draw a slice into `folder`, which must exist, and return the written files.

    `<stem>.png` is CT, CT with contours, true mask, predicted mask and errors; `<stem>-ct.png`, `<stem>-overlay.png`,
    `<stem>-mask.png` and `<stem>-error.png` are the first two and the last two alone; `<stem>-mask.svg` has both masks
    as contours, without a raster. Equal input gives equal files.
    """
    figures = {
        f"{stem}.png": _overview(shown, window_hu),
        f"{stem}-ct.png": _ct_figure(shown, window_hu, contours=False),
        f"{stem}-overlay.png": _ct_figure(shown, window_hu, contours=True),
        f"{stem}-mask.png": _mask_figure(shown),
        f"{stem}-error.png": _error_figure(shown, window_hu),
        f"{stem}-mask.svg": _contour_figure(shown),
    }
    for name, figure in figures.items():
        with matplotlib.rc_context({"svg.hashsalt": stem, "svg.fonttype": "none"}):
            metadata = {"Date": None} if name.endswith(".svg") else {DESCRIPTION: _title(shown)}
            figure.savefig(folder / name, dpi=_DPI, metadata=metadata)
    return [folder / name for name in figures]


def panel(ct: Float[np.ndarray, "y x"], truth: LabelMap, prediction: LabelMap) -> UInt8[np.ndarray, "y four_x rgb"]:
    """Return CT, truth, prediction and error side by side, (h, 4w, 3), for TensorBoard.

    Args:
        ct: windowed to [0, 1]; values outside are clipped.
        truth, prediction: label maps 0, 1, 2. Errors have the colours of MISTAKES.
    """
    grey = np.repeat(np.clip(ct, 0, 1)[..., None], 3, axis=-1)
    parts = [
        grey,
        _tint(grey, truth, (LIVER, TUMOUR)),
        _tint(grey, prediction, (LIVER, TUMOUR)),
        _tint_errors(grey, truth, prediction),
    ]
    return np.round(np.concatenate(parts, axis=1) * 255).astype(np.uint8)


def best_median_worst(scores: Mapping[str, float | None]) -> dict[str, str]:
    """Choose the cases with the "best", "median" and "worst" score, each another case.

    None and NaN are ignored. Two cases have no median, one case is the best. Ties go by name; of an even number the
    lower middle is the median.
    """
    known = sorted((score, case) for case, score in scores.items() if score is not None and math.isfinite(score))
    places = {"best": len(known) - 1, "median": (len(known) - 1) // 2, "worst": 0}
    roles = ("best", "median", "worst") if len(known) > 2 else ("best", "worst")[: len(known)]
    return {role: known[places[role]][1] for role in roles}


def draw_scale(axes: Axes, field_mm: float | None, *, ink: Ink) -> None:
    """Draw "R" at the patient's right, and a scale bar of a round length, at most a third of the width.

    Args:
        field_mm: width of the axes; None draws no bar.
    """
    style: dict[str, Any] = {"color": ink, "transform": axes.transAxes}
    axes.text(0.02, 0.5, "R", fontsize=8, ha="left", va="center", **style)
    if field_mm is not None:
        length_mm = next((bar for bar in _BARS_MM if bar <= field_mm / 3), _BARS_MM[-1])
        axes.add_line(
            Line2D([0.97 - length_mm / field_mm, 0.97], [0.04, 0.04], linewidth=2.5, solid_capstyle="butt", **style)
        )
        axes.text(0.97, 0.055, f"{length_mm} mm", fontsize=8, ha="right", va="bottom", **style)


def padded_masks(labels: LabelMap) -> Iterator[tuple[str, str, Bool[np.ndarray, "y x"]]]:
    """Yield name, colour and mask of each structure present; a border of 1 pixel closes contours at the edge."""
    padded = np.pad(labels, 1)
    for name, lowest, colour in STRUCTURES:
        inside = padded >= lowest
        if inside.any():
            yield name, colour, inside


def _tint(
    grey: Float[np.ndarray, "y x 3"], labels: np.ndarray, colours: Sequence[str], *, strength: float = 0.55
) -> Float[np.ndarray, "y x 3"]:
    rgb = grey.copy()
    for label, colour in enumerate(colours, start=1):
        where = labels == label
        rgb[where] = (1 - strength) * grey[where] + strength * np.array(to_rgb(colour))
    return rgb


def _tint_errors(grey: Float[np.ndarray, "y x 3"], truth: LabelMap, prediction: LabelMap) -> Float[np.ndarray, "y x 3"]:
    """Dim a slice and colour its wrong pixels."""
    return _tint(grey / 2, mistakes(truth, prediction), [kind.colour for kind in MISTAKES], strength=0.85)


def _overview(shown: PictureSlice, window_hu: tuple[float, float]) -> Figure:
    height, width = _inches(shown)
    figure = Figure(figsize=(max(5 * width, _TITLE_INCHES), height + 0.75), layout="constrained", facecolor="black")
    panels = figure.subplots(1, 5)
    for axes, title in zip(panels, ("CT", "contours", "truth", "prediction", "error"), strict=True):
        axes.set_title(title, fontsize=10, color="white")
    _draw_ct(panels[0], shown, window_hu)
    _draw_ct(panels[1], shown, window_hu)
    _draw_contours(panels[1], shown, ink="white")
    _draw_mask(panels[2], shown, shown.truth)
    _draw_mask(panels[3], shown, shown.prediction)
    _draw_errors(panels[4], shown, window_hu)
    draw_scale(panels[0], _field_mm(shown), ink="white")
    figure.suptitle(_title(shown), fontsize=12, color="white")
    figure.legend(
        handles=[*_legend("white"), *_error_legend()],
        loc="outside lower center",
        ncols=8,
        fontsize=9,
        labelcolor="white",
        **_BARE,
    )
    return figure


def _ct_figure(shown: PictureSlice, window_hu: tuple[float, float], *, contours: bool) -> Figure:
    figure, axes = _full_axes(shown)
    _draw_ct(axes, shown, window_hu)
    draw_scale(axes, _field_mm(shown), ink="white")
    if contours:
        _draw_contours(axes, shown, ink="white")
        axes.legend(handles=_legend("white"), loc="upper left", fontsize=7, labelcolor="white", **_SHADOW)
    return figure


def _mask_figure(shown: PictureSlice) -> Figure:
    figure, axes = _full_axes(shown)
    _draw_mask(axes, shown, shown.prediction)
    return figure


def _error_figure(shown: PictureSlice, window_hu: tuple[float, float]) -> Figure:
    figure, axes = _full_axes(shown)
    _draw_errors(axes, shown, window_hu)
    draw_scale(axes, _field_mm(shown), ink="white")
    axes.legend(handles=_error_legend(), loc="upper left", fontsize=7, labelcolor="white", **_SHADOW)
    return figure


def _full_axes(shown: PictureSlice) -> tuple[Figure, Axes]:
    """Make a figure that a slice fills to the edges."""
    height, width = _inches(shown)
    figure = Figure(figsize=(1.5 * width, 1.5 * height))
    return figure, figure.add_axes((0, 0, 1, 1))


def _contour_figure(shown: PictureSlice) -> Figure:
    height, width = _inches(shown)
    figure = Figure(figsize=(max(1.5 * width, _TITLE_INCHES), 1.5 * height + 0.75), layout="constrained")
    axes = figure.subplots()
    _frame(axes, shown)
    _draw_contours(axes, shown, ink="black")
    draw_scale(axes, _field_mm(shown), ink="black")
    axes.set_title(_title(shown), fontsize=10)
    figure.legend(handles=_legend("black"), loc="outside lower center", ncols=4, fontsize=8, **_BARE)
    return figure


def _inches(shown: PictureSlice) -> tuple[float, float]:
    """Return height and width of a slice, the longer side of fixed size."""
    height, width = shown.hu.shape[0] * _aspect(shown), shown.hu.shape[1]
    scale = _PANEL_INCHES / max(height, width)
    return height * scale, width * scale


def _aspect(shown: PictureSlice) -> float:
    return 1.0 if shown.spacing_mm is None else shown.spacing_mm[0] / shown.spacing_mm[1]


def _frame(axes: Axes, shown: PictureSlice) -> None:
    height, width = shown.hu.shape
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5), aspect=_aspect(shown), xticks=[], yticks=[])


def _draw_ct(axes: Axes, shown: PictureSlice, window_hu: tuple[float, float]) -> None:
    low, high = window_hu
    axes.imshow(shown.hu, cmap="gray", vmin=low, vmax=high, interpolation="bilinear")
    _frame(axes, shown)
    axes.set_frame_on(False)


def _draw_mask(axes: Axes, shown: PictureSlice, labels: LabelMap) -> None:
    colours = ListedColormap([BACKGROUND, LIVER, TUMOUR])
    axes.imshow(labels, cmap=colours, vmin=0, vmax=2, interpolation="nearest")
    _frame(axes, shown)
    axes.set_frame_on(False)


def _draw_errors(axes: Axes, shown: PictureSlice, window_hu: tuple[float, float]) -> None:
    low, high = window_hu
    grey = np.clip((shown.hu.astype(np.float64) - low) / (high - low), 0, 1)
    rgb = _tint_errors(np.repeat(grey[..., None], 3, axis=-1), shown.truth, shown.prediction)
    axes.imshow(rgb, interpolation="nearest")
    _frame(axes, shown)
    axes.set_frame_on(False)


def _draw_contours(axes: Axes, shown: PictureSlice, *, ink: Ink) -> None:
    """Draw the truth wide and solid, the prediction narrow and dashed on top: both are visible where they agree."""
    x, y = np.arange(-1, shown.hu.shape[1] + 1), np.arange(-1, shown.hu.shape[0] + 1)
    for source, stroke in _STROKES.items():
        for name, colour, inside in padded_masks(getattr(shown, source)):
            shade = _shade(colour, source, ink)
            lines = axes.contour(x, y, inside, [0.5], colors=shade, linestyles=stroke.style, linewidths=stroke.width)
            lines.set_gid(f"{name}-{source}")  # its name in a drawing program
            if (ink, source) == ("white", "prediction"):  # a pale line needs an edge on bright tissue
                lines.set_path_effects([withStroke(linewidth=stroke.width + 1, foreground="black")])


def _shade(colour: str, source: str, ink: Ink) -> str:
    """Return the colour of a contour; that of a prediction is mixed with the ink."""
    fraction = 0.4 if source == "prediction" else 0.0
    red, green, blue = (1 - fraction) * np.array(to_rgb(colour)) + fraction * np.array(to_rgb(ink))
    return to_hex((red, green, blue))


def _field_mm(shown: PictureSlice) -> float | None:
    return None if shown.spacing_mm is None else shown.hu.shape[1] * shown.spacing_mm[1]


def _title(shown: PictureSlice) -> str:
    scores = ", ".join(f"{name} {number_text(value)}" for name, value in shown.dice.items())
    return f"{shown.case}, slice {shown.z + 1}" + (f"; Dice of the case: {scores}" if scores else "")


def _legend(ink: Ink) -> list[Line2D]:
    return [
        Line2D([], [], color=_shade(colour, source, ink), ls=stroke.style, lw=stroke.width, label=f"{name}, {source}")
        for source, stroke in _STROKES.items()
        for name, _, colour in STRUCTURES
    ]


def _error_legend() -> list[Patch]:
    return [Patch(color=kind.colour, label=kind.label) for kind in MISTAKES]
