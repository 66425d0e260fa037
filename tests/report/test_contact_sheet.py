from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.contour import QuadContourSet
from matplotlib.figure import Figure
from matplotlib.text import Text

from lightning_liver.report.contact_sheet import SheetBlock, Tile, contact_sheet
from lightning_liver.report.drawing import write_png
from lightning_liver.report.pictures import LIVER, TUMOUR
from tests.report.figure_parts import cut

HEIGHT, WIDTH = 40, 60  # unequal, so that a transpose shows


@pytest.fixture
def tile() -> Tile:
    """Return a body with air on all sides, with a liver and a tumour."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    labels = (np.hypot(y - 20, x - 18) < 8).astype(np.uint8)
    labels[np.hypot(y - 18, x - 16) < 3] = 2
    grey = np.where(np.hypot((y - 19.5) / 12, (x - 29.5) / 20) < 1, 0.5, 0.0)
    return Tile(grey, labels, None, (1.5, 1.5), "")


def sheet(tile: Tile, count: int, *, slices: int = 2, about: str = "amplitude_hu=30") -> Figure:
    blocks = [SheetBlock(f"policy {number}", about, [tile] * slices) for number in range(count)]
    return contact_sheet("Title", "What is shown. " * 12, SheetBlock("untouched", "case 3", [tile] * slices), blocks)


def said(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text)]


def tiles(figure: Figure, name: str) -> list[Axes]:
    return [axes for axes in figure.axes if (axes.get_gid() or "").startswith(f"{name} ")]


def contours(axes: Axes) -> dict[str, QuadContourSet]:
    return {child.get_gid() or "": child for child in axes.get_children() if isinstance(child, QuadContourSet)}


@pytest.mark.parametrize(("count", "rows"), [(1, 1), (3, 1), (4, 2)])
def test_every_row_begins_with_the_untouched_slices(tile: Tile, count: int, rows: int) -> None:
    figure = sheet(tile, count)
    assert said(figure).count("untouched") == rows
    assert len(tiles(figure, "untouched")) == 2 * rows
    assert all(len(tiles(figure, f"policy {number}")) == 2 for number in range(count))


@pytest.mark.parametrize(("count", "slices"), [(1, 1), (4, 2), (2, 5)])
def test_nothing_is_cut_off(tile: Tile, count: int, slices: int) -> None:
    assert cut(sheet(tile, count, slices=slices, about="an_option=0.123456 " * 12)) == []


def test_tiles_do_not_overlap(tile: Tile) -> None:
    boxes = [axes.get_position() for axes in sheet(tile, 4).axes]
    overlaps = [one for i, one in enumerate(boxes) for other in boxes[:i] if one.overlaps(other)]
    assert not overlaps


def test_contours_have_the_colours_of_structures_and_are_dashed_for_a_partner(tile: Tile) -> None:
    (plain,) = tiles(sheet(tile, 1, slices=1), "policy 0")
    assert {name: to_hex(lines.get_edgecolor()[0]).upper() for name, lines in contours(plain).items()} == {
        "liver solid": LIVER,
        "tumour solid": TUMOUR,
    }
    assert all(lines.get_path_effects() for lines in contours(plain).values())
    blended = replace(tile, partner=np.flip(tile.labels, axis=1), note="30 % blended in")
    figure = sheet(blended, 1, slices=1)
    assert set(contours(tiles(figure, "policy 0")[0])) == {
        f"{s} {how}" for s in ("liver", "tumour") for how in ("solid", "dashed")
    }
    assert "30 % blended in" in said(figure)


def test_contours_enclose_their_structures(tile: Tile) -> None:
    (axes,) = tiles(sheet(replace(tile, spacing_mm=(3.0, 1.5)), 1, slices=1), "policy 0")
    (low_x, low_y), (high_x, high_y) = contours(axes)["liver solid"].get_paths()[0].get_extents().get_points()
    rows, columns = np.nonzero(tile.labels)
    np.testing.assert_allclose([low_y, high_y], [rows.min() * 3, (rows.max() + 1) * 3], atol=1e-6)
    np.testing.assert_allclose([low_x, high_x], [columns.min() * 1.5, (columns.max() + 1) * 1.5], atol=1e-6)


@pytest.mark.parametrize("spacing_mm", [(1.5, 1.5), (3.0, 1.5)])
def test_a_millimetre_is_as_long_along_y_as_along_x(tile: Tile, spacing_mm: tuple[float, float]) -> None:
    figure = sheet(replace(tile, spacing_mm=spacing_mm), 1, slices=1)
    (axes,) = tiles(figure, "policy 0")
    width, height = figure.get_size_inches()
    scale_x = axes.get_position().width * width / abs(np.diff(axes.get_xlim())[0])
    scale_y = axes.get_position().height * height / abs(np.diff(axes.get_ylim())[0])
    assert scale_y == pytest.approx(scale_x, rel=1e-6)


def test_air_around_the_body_is_cropped_but_not_the_body(tile: Tile) -> None:
    (axes,) = tiles(sheet(tile, 1, slices=1), "policy 0")
    left, right = axes.get_xlim()
    assert 0 < left < np.flatnonzero(tile.grey.any(axis=0))[0] * 1.5
    assert (np.flatnonzero(tile.grey.any(axis=0))[-1] + 1) * 1.5 < right < WIDTH * 1.5


def test_a_slice_without_body_or_labels_is_drawn_whole(tile: Tile) -> None:
    nothing = replace(tile, grey=np.zeros_like(tile.grey), labels=np.zeros_like(tile.labels))
    (axes,) = tiles(sheet(nothing, 1, slices=1), "policy 0")
    assert axes.get_xlim() == pytest.approx((0, WIDTH * 1.5))
    assert contours(axes) == {}


def test_equal_sheets_make_equal_files(tile: Tile, tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_png(sheet(tile, 2), tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
