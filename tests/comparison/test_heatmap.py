from pathlib import Path

import numpy as np
import pytest

from lightning_liver.comparison.heatmap import best_and_alike, grid_text, heatmap, two_option_grid
from lightning_liver.comparison.statistics import Comparison, Scores, compare, configuration_mean
from lightning_liver.metrics.intervals import Mean
from tests.report.figure_parts import MOST_BYTES, cut, labels, parts, size_and_corner, texts

GRID = [f"loss.gamma={gamma} loss.alpha={alpha}" for gamma in ("10", "0", "2", "0.5") for alpha in ("0.75", "0.25")]


def means_of(table: Scores) -> dict[str, Mean]:
    return {name: configuration_mean({0: scores}) for name, scores in table.items()}


def table_of(names: list[str], patients: int = 12) -> dict[str, dict[str, float]]:
    """Return scores where each configuration is slightly better than the one before for every patient."""
    # by different amounts, since tests with ties are slow
    return {
        name: {f"patient-{p:02}": 0.3 + p / 100 + n / 50 + n * p / 1e4 for p in range(patients)}
        for n, name in enumerate(names)
    }


def pair(first: str, second: str, p: float) -> Comparison:
    return Comparison(first, second, 12, 3, Mean(0.1, 0.0, 0.2), 1.0, p, 0.001)


def test_numbers_are_sorted_by_value_and_rows_have_more_values() -> None:
    grid = two_option_grid(GRID)
    assert grid is not None
    assert (grid.row, grid.column) == ("loss.gamma", "loss.alpha")
    assert grid.rows == ("0", "0.5", "2", "10")
    assert grid.columns == ("0.25", "0.75")
    assert grid.names["10", "0.25"] == "loss.gamma=10 loss.alpha=0.25"


def test_words_are_sorted_after_numbers_and_values_may_have_spaces() -> None:
    weights = ("None", "[1.0, 3.0]", "2", "1e1")
    grid = two_option_grid([f"loss.class_weights={w} augment={a}" for w in weights for a in ("none", "basic")])
    assert grid is not None
    assert grid.rows == ("2", "1e1", "None", "[1.0, 3.0]")
    assert grid.columns == ("basic", "none")


@pytest.mark.parametrize(
    "names",
    [
        [],
        ["all"],
        ["loss=bce", "loss=dice"],
        ["loss=focal loss.gamma=2", "loss=focal loss.gamma=0", "loss=dice"],
        ["a=1 b=1 c=1", "a=1 b=2 c=2", "a=2 b=1 c=1", "a=2 b=2 c=2"],
        ["a=1 b=1", "a=2 b=2", "a=3 b=3"],
    ],
)
def test_other_studies_have_no_grid(names: list[str]) -> None:
    assert two_option_grid(names) is None


def test_alike_are_configurations_without_a_significant_test_against_the_best() -> None:
    table = {"worst": {"A": 0.1}, "near": {"A": 0.5}, "best": {"A": 0.6}, "untested": {"B": 0.2}}
    pairs = [pair("best", "worst", 0.01), pair("near", "best", 0.06), pair("near", "worst", 0.01)]
    assert best_and_alike(means_of(table), pairs) == ("best", {"near", "untested"})


def test_text_has_means_marks_and_a_dash_for_missing_cells() -> None:
    names = ["a=1 b=1", "a=1 b=2", "a=2 b=1"]
    table = {name: dict.fromkeys("ABC", dice) for name, dice in zip(names, (0.5, 0.7, 0.25), strict=True)}
    grid = two_option_grid(names)
    assert grid is not None
    text = grid_text(
        grid, means_of(table), "tumour", [pair(names[0], names[1], 0.2), pair(names[1], names[2], 0.01)], 3
    )
    lines = [line.split("  ") for line in text.splitlines()]
    assert ["1", "0.500 ~", "0.700 *"] in [[c.strip() for c in x if c] for x in lines]
    assert ["2", "0.250", "-"] in [[c.strip() for c in line if c] for line in lines]
    assert "* best mean; ~ not told apart from it by the test over patients and seeds" in text
    assert "over 3 tests" in text


def test_caption_says_if_all_are_reported_apart() -> None:
    table = table_of(GRID)
    grid = two_option_grid(table)
    assert grid is not None
    (pairs,) = compare([{name: {0: scores, 1: scores} for name, scores in table.items()}])
    text = grid_text(grid, means_of(table), "tumour", pairs, len(pairs))
    assert "all others are told apart from it" in text
    assert "~" not in text


def test_every_cell_is_annotated_the_best_is_outlined_and_missing_ones_are_hatched() -> None:
    table = table_of(GRID[:-1])
    grid = two_option_grid(table)
    assert grid is not None
    best = list(table)[-1]
    alike = list(table)[-2]
    pairs = [pair(best, name, 0.5 if name == alike else 0.01) for name in table if name != best]
    figure = heatmap(grid, means_of(table), "liver", pairs, 28)
    cells = [text for text in texts(figure) if "\n(" in text]
    assert len(cells) == len(table) == 7
    (marked,) = [text for text in cells if "~" in text]
    assert marked.startswith(f"{np.mean(list(table[alike].values())):.3f} ~\n(")
    (outline,) = parts(figure, "best")
    assert (round(outline.get_x() + 0.47), round(outline.get_y() + 0.46)) == (1, 1)  # alpha 0.75, gamma 0.5
    (hatched,) = parts(figure, "missing")
    assert hatched.get_hatch()
    assert (hatched.get_x() + 0.5, hatched.get_y() + 0.5) == (0, 1)  # alpha 0.25, gamma 0.5
    assert labels(figure, "y") == list(grid.rows)
    assert labels(figure, "x") == list(grid.columns)
    (image,) = figure.axes[0].get_images()
    shown = np.ma.filled(image.get_array(), np.nan)
    assert shown[1, 1] == np.nanmax(shown) == pytest.approx(np.mean(list(table[best].values())))
    assert any("Hatched: not run" in text.replace("\n", " ") for text in texts(figure))


@pytest.mark.parametrize(("rows", "columns"), [(2, 2), (5, 3), (23, 2)])
def test_nothing_is_cut_off_and_the_file_is_small_and_white(tmp_path: Path, rows: int, columns: int) -> None:
    table = table_of([f"loss.first_option={r} loss.second_option={c}" for r in range(rows) for c in range(columns)], 3)
    grid = two_option_grid(table)
    assert grid is not None
    figure = heatmap(grid, means_of(table), "tumour", [], 1)
    assert cut(figure) == []
    size, corner = size_and_corner(figure, tmp_path)
    assert size < MOST_BYTES
    assert corner == (255, 255, 255, 255)
