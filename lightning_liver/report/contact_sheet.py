"""Contact sheet: the same slices in each block, with contours, to compare augmentations.

The background is black like air, so that tiles have no visible border.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from lightning_liver.report.drawing import RULE, SMALL, lines_inches, wrap_text
from lightning_liver.report.pictures import STRUCTURES, LabelMap, draw_scale, padded_masks

Stroke = Literal["solid", "dashed"]

_TILE_INCHES = 1.97  # 256 pixels, the size of a slice at 1.5 mm
_TILES_A_ROW = 8
_GAP, _BLOCK_GAP, _MARGIN = 0.04, 0.22, 0.2  # inches
_NAME_POINTS, _TITLE_POINTS = 10.0, 14.0
_ABOUT_LINES = 2
_WIDTH, _HALO = 0.9, 1.9  # points
_PARTNER = "of the slice blended in"
_BODY = 0.05  # a row or column with at least this fraction of pixels above black crosses the body
_MARGIN_FACTOR = 1.08  # around the body


@dataclass(frozen=True)
class Tile:
    """One slice as training would see it.

    Args:
        grey: windowed to [0, 1].
        labels: 0 background, 1 liver, 2 tumour.
        partner: labels of the slice that is blended in; None if none is.
        spacing_mm: distance between pixel centres along y and x.
        note: a few words in the tile's corner; "" for none.
    """

    grey: Float[np.ndarray, "y x"]
    labels: LabelMap
    partner: LabelMap | None
    spacing_mm: tuple[float, float]
    note: str

    @property
    def size_mm(self) -> tuple[float, float]:
        """Return height and width."""
        return self.grey.shape[0] * self.spacing_mm[0], self.grey.shape[1] * self.spacing_mm[1]


@dataclass(frozen=True)
class SheetBlock:
    """Tiles side by side under a name and a line or two about it."""

    name: str
    about: str
    tiles: Sequence[Tile]


@dataclass(frozen=True)
class _Grid:
    """Positions of blocks and tiles, in inches from the top left."""

    field_mm: tuple[float, float]
    tiles: int
    columns: int
    rows: int
    above: float

    @property
    def tile(self) -> tuple[float, float]:
        scale = _TILE_INCHES / max(self.field_mm)
        return self.field_mm[0] * scale, self.field_mm[1] * scale

    @property
    def block(self) -> tuple[float, float]:
        """Return height and width of a block with its texts."""
        return self.texts + self.tile[0], self.tiles * (self.tile[1] + _GAP) - _GAP

    @property
    def texts(self) -> float:
        return lines_inches("", _NAME_POINTS) + _ABOUT_LINES * lines_inches("", SMALL) + _GAP

    @property
    def size(self) -> tuple[float, float]:
        height, width = (n + _BLOCK_GAP for n in self.block)
        return self.above + self.rows * height, 2 * _MARGIN + self.columns * width - _BLOCK_GAP

    def place(self, row: int, column: int) -> tuple[float, float]:
        return self.above + row * (self.block[0] + _BLOCK_GAP), _MARGIN + column * (self.block[1] + _BLOCK_GAP)


def contact_sheet(title: str, caption: str, untouched: SheetBlock, blocks: Sequence[SheetBlock]) -> Figure:
    """Draw blocks in a grid whose rows each begin with the untouched slices; all tiles have one scale in mm.

    Args:
        untouched, blocks: all with the same number of tiles, at least one.
    """
    columns = min(max(round(_TILES_A_ROW / len(untouched.tiles)), 2), len(blocks) + 1)
    rows = -(-len(blocks) // (columns - 1))
    empty = _Grid(_field_mm(untouched.tiles), len(untouched.tiles), columns, rows, 0)
    text = wrap_text(caption, empty.size[1] - 2 * _MARGIN)
    above = 2 * _MARGIN + lines_inches("", _TITLE_POINTS) + lines_inches(text, SMALL) + 2 * lines_inches("", SMALL)
    grid = _Grid(empty.field_mm, empty.tiles, columns, rows, above)
    figure = Figure(figsize=grid.size[::-1], facecolor="black")
    _write(figure, (_MARGIN, _MARGIN), title, size=_TITLE_POINTS, color="white", weight="bold")
    _write(figure, (_MARGIN + lines_inches("", _TITLE_POINTS), _MARGIN), text, size=SMALL, color=RULE)
    _draw_legend(figure, above - _MARGIN, blends=any(tile.partner is not None for b in blocks for tile in b.tiles))
    for (row, column), block in _placed(untouched, blocks, columns):
        _draw_block(figure, grid, grid.place(row, column), block, scaled=row == column == 0)
    return figure


def _field_mm(tiles: Sequence[Tile]) -> tuple[float, float]:
    """Return height and width around the slices' centres that hold the body, flipped or not."""
    fields = []
    for tile in tiles:
        for axis, mm in enumerate(tile.spacing_mm):
            crossing = np.flatnonzero((tile.grey > 0).mean(axis=1 - axis) > _BODY)
            middle = (tile.grey.shape[axis] - 1) / 2
            away = float(np.abs(crossing - middle).max()) * _MARGIN_FACTOR if len(crossing) else middle
            fields.append(2 * mm * min(away, middle) + mm)
    return max(fields[::2]), max(fields[1::2])


def _placed(
    untouched: SheetBlock, blocks: Sequence[SheetBlock], columns: int
) -> Iterator[tuple[tuple[int, int], SheetBlock]]:
    for number, block in enumerate(blocks):
        row, column = divmod(number, columns - 1)
        if column == 0:
            yield (row, 0), untouched
        yield (row, column + 1), block


def _draw_block(figure: Figure, grid: _Grid, place: tuple[float, float], block: SheetBlock, *, scaled: bool) -> None:
    top, left = place
    _write(figure, (top, left), block.name, size=_NAME_POINTS, color="white", weight="bold")
    about = wrap_text(block.about, grid.block[1] - _BLOCK_GAP, lines=_ABOUT_LINES)
    _write(figure, (top + lines_inches("", _NAME_POINTS), left), about, size=SMALL, color=RULE)
    (height, width), (tall, wide) = grid.size, grid.tile
    for number, tile in enumerate(block.tiles):
        x, y = left + number * (wide + _GAP), top + grid.texts + tall
        axes = figure.add_axes((x / width, 1 - y / height, wide / width, tall / height))
        axes.set_gid(f"{block.name} {number}")
        _draw_tile(axes, tile, grid.field_mm)
        if scaled and number == 0:
            draw_scale(axes, grid.field_mm[1], ink="white")


def _draw_tile(axes: Axes, tile: Tile, field_mm: tuple[float, float]) -> None:
    (height, width), (tall, wide) = tile.size_mm, field_mm
    axes.imshow(tile.grey, cmap="gray", vmin=0, vmax=1, extent=(0, width, height, 0), interpolation_stage="data")
    axes.set(xlim=((width - wide) / 2, (width + wide) / 2), ylim=((height + tall) / 2, (height - tall) / 2))
    axes.axis("off")
    if tile.partner is not None:
        _draw_contours(axes, tile, tile.partner, "dashed")
    _draw_contours(axes, tile, tile.labels, "solid")
    edge = [withStroke(linewidth=2, foreground="black")]
    axes.text(0.02, 0.02, tile.note, fontsize=SMALL, color="white", transform=axes.transAxes, path_effects=edge)


def _draw_contours(axes: Axes, tile: Tile, labels: LabelMap, style: Stroke) -> None:
    y, x = ((np.arange(-1, n + 1) + 0.5) * mm for n, mm in zip(labels.shape, tile.spacing_mm, strict=True))
    for name, colour, inside in padded_masks(labels):
        lines = axes.contour(x, y, inside, [0.5], colors=colour, linestyles=style, linewidths=_WIDTH)
        lines.set_path_effects([withStroke(linewidth=_HALO, foreground="black")])
        lines.set_gid(f"{name} {style}")


def _draw_legend(figure: Figure, bottom: float, *, blends: bool) -> None:
    """Draw the legend in one line."""
    kinds: list[tuple[str, Stroke]] = [("", "solid"), (f", {_PARTNER}", "dashed")]
    handles = [
        Line2D([], [], color=colour, linestyle=style, linewidth=2 * _WIDTH, label=f"{name}{of}")
        for of, style in kinds[: 1 + blends]
        for name, _, colour in STRUCTURES
    ]
    width, height = figure.get_size_inches()
    figure.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(_MARGIN / width, 1 - bottom / height),
        borderaxespad=0,
        borderpad=0,
        ncols=len(handles),
        fontsize=SMALL,
        labelcolor="white",
        frameon=False,
    )


def _write(figure: Figure, place: tuple[float, float], text: str, *, size: float, **style: Any) -> None:
    """Write a text; `place` is its top left in inches from the top left of the figure."""
    width, height = figure.get_size_inches()
    figure.text(place[1] / width, 1 - place[0] / height, text, fontsize=size, va="top", linespacing=1.3, **style)
