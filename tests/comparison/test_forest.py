from itertools import pairwise
from pathlib import Path

import matplotlib
import numpy as np
import pytest

from lightning_liver.comparison.forest import forest
from lightning_liver.comparison.statistics import Scores, configuration_mean
from lightning_liver.metrics.intervals import Mean
from lightning_liver.report.references import references
from tests.report.figure_parts import MOST_BYTES, cut, labels, parts, size_and_corner, texts

LONG = "loss=asymmetric_unified_focal loss.class_weights=[1.0, 3.0] model.base_channels=32 trainer.max_epochs=300"
UNBROKEN = "experiment=" + "a_name_without_a_single_space_" * 4


def with_means(table: Scores) -> tuple[Scores, dict[str, Mean]]:
    """Return the table and the means of its configurations."""
    return table, {name: configuration_mean({0: scores}) for name, scores in table.items()}


def table_of(*means: float, patients: int = 24) -> dict[str, dict[str, float]]:
    """Return scores of loss=0, loss=1, ... with patients spread around each mean."""
    spread = np.linspace(-0.2, 0.2, patients)
    return {
        f"loss={n}": {f"patient-{p:02}": mean + float(each) for p, each in enumerate(spread)}
        for n, mean in enumerate(means)
    }


def seeds_of(table: dict[str, dict[str, float]], count: int = 3) -> dict[str, dict[int, float]]:
    return {name: {seed: 0.5 + seed / 100 for seed in range(count)} for name in table}


def test_rows_are_in_the_order_of_their_means() -> None:
    table = table_of(0.4, 0.7, 0.5)
    assert labels(forest(*with_means(table), {}, "tumour"), "y") == ["loss=1", "loss=2", "loss=0"]
    places = forest(*with_means(table), {}, "tumour").axes[0].get_yticks()
    bottom, top = forest(*with_means(table), {}, "tumour").axes[0].get_ylim()
    assert list(places) == sorted(places)
    assert bottom > places[-1] > places[0] > top


def test_each_configuration_has_a_mean_an_interval_its_patients_and_its_seeds() -> None:
    table = table_of(0.4, 0.7, 0.5, patients=7)
    figure = forest(*with_means(table), seeds_of(table), "tumour")
    assert sorted(float(mean.get_xdata()[0]) for mean in parts(figure, "mean")) == pytest.approx([0.4, 0.5, 0.7])
    assert len(parts(figure, "interval")) == 3
    (dots,) = parts(figure, "patients")
    assert len(dots.get_offsets()) == 3 * 7
    assert sorted(dots.get_offsets()[:, 0]) == pytest.approx(
        sorted(v for each in table.values() for v in each.values())
    )
    (ticks,) = parts(figure, "seeds")
    assert len(ticks.get_segments()) == 3 * 3


def test_numbers_are_beside_the_rows() -> None:
    table = {"loss=dice": {"A": 0.4, "B": 0.5, "C": 0.6}}
    shown, means = with_means(table)
    low, high = means["loss=dice"][1:]
    found = texts(forest(shown, means, {"loss=dice": {0: 0.4, 1: 0.6}}, "tumour"))
    assert {"3", "0.500", f"{low:.3f} to {high:.3f}", "0.141"} <= set(found)


def test_one_seed_has_no_ticks_and_no_spread() -> None:
    table = table_of(0.4, 0.7)
    figure = forest(*with_means(table), seeds_of(table, 1), "tumour")
    assert not parts(figure, "seeds")
    assert "mean of a seed" not in texts(figure)


def test_two_patients_have_a_mean_without_an_interval() -> None:
    figure = forest(*with_means(table_of(0.4, 0.7, patients=2)), {}, "tumour")
    assert len(parts(figure, "mean")) == 2
    assert not parts(figure, "interval")


@pytest.mark.parametrize("structure", ["tumour", "liver"])
def test_every_published_line_is_labelled_not_comparable(structure: str) -> None:
    known = references(structure)
    figure = forest(*with_means(table_of(0.6, 0.5)), {}, structure, known)
    lines = parts(figure, "reference")
    assert sorted(float(line.get_segments()[0][0][0]) for line in lines) == [each.dice for each in known]
    shown = [text for text in texts(figure) if "(not comparable)" in text]
    assert sorted(shown) == sorted(f"{each.label} {each.dice} (not comparable)" for each in known)
    assert any("other patients" in text for text in texts(figure))


def test_baseline_is_marked_in_name_mark_and_line() -> None:
    figure = forest(*with_means(table_of(0.6, 0.5)), {}, "tumour", baseline="loss=1")
    assert labels(figure, "y") == ["loss=0", "loss=1 (baseline)"]
    (line,) = parts(figure, "baseline")
    assert line.get_segments()[0][0][0] == pytest.approx(0.5)
    hollow = [mean.get_markerfacecolor() == "white" for mean in parts(figure, "mean")]
    assert sorted(hollow) == [False, True]


@pytest.mark.parametrize(("count", "structure"), [(1, "liver"), (2, "tumour"), (23, "tumour")])
def test_nothing_is_cut_off_and_the_file_is_small_and_white(tmp_path: Path, count: int, structure: str) -> None:
    table = table_of(*np.linspace(0.3, 0.7, count))
    table |= dict.fromkeys((LONG, UNBROKEN)[: count - 1], table["loss=0"])
    figure = forest(*with_means(table), seeds_of(table), structure, references(structure), LONG if count > 1 else None)
    assert cut(figure) == []
    size, corner = size_and_corner(figure, tmp_path)
    assert size < MOST_BYTES
    assert corner == (255, 255, 255, 255)


def test_published_labels_do_not_overlap() -> None:
    figure = forest(*with_means(table_of(0.6, 0.5)), {}, "tumour", references("tumour"))
    cut(figure)
    found = figure.findobj(lambda artist: hasattr(artist, "get_text") and "(not comparable)" in artist.get_text())
    boxes = sorted((text.get_window_extent() for text in found), key=lambda box: box.y0)
    assert len(boxes) == 7
    assert all(lower.y1 <= upper.y0 for lower, upper in pairwise(boxes))


def test_drawing_changes_no_global_state_and_equal_tables_make_equal_files(tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    table = table_of(0.6, 0.5)
    files = []
    for _ in range(2):
        size_and_corner(forest(*with_means(table), seeds_of(table), "tumour", references("tumour")), tmp_path)
        files.append((tmp_path / "figure.png").read_bytes())
    assert files[0] == files[1]
    assert dict(matplotlib.rcParams) == before


def test_no_module_uses_pyplot() -> None:
    package = Path(__file__).parents[2] / "lightning_liver"
    assert not [path.name for path in package.rglob("*.py") if "pyplot" in path.read_text(encoding="utf-8")]
