"""Tables and figures of a study for a paper."""

import re
from pathlib import Path

import pytest

from lightning_liver.comparison.paper import LATEX, MARKDOWN, column_figure, paper_tables, write_paper_figures
from lightning_liver.comparison.runs import read_runs
from lightning_liver.comparison.study import Study, study
from tests.report.run_folders import scores_of, write_run


@pytest.fixture
def compared(tmp_path: Path) -> Study:
    for loss, gain in (("bce", 0.0), ("dice_bce", 0.1)):
        dice = [0.3 + 0.05 * n + gain + 0.001 * n * (gain > 0) for n in range(8)]
        write_run(tmp_path / "runs" / loss, loss, scores_of(*dice))
    return study(read_runs([tmp_path / "runs"]), ("tumour",))


def test_latex_escapes_its_signs_and_has_a_minus(compared: Study) -> None:
    text = paper_tables(compared, LATEX)
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 2
    assert r"loss=dice\_bce & 8 & 1 & 0." in text
    assert "$-$0.10" in text
    assert not re.search(
        r"(?<!\\)[%_](?! \\usepackage)", text.split("\n", 1)[1].replace(r"\label{tab:tumour-means}", "")
    )
    assert re.findall(r"\\begin\{tabular\}\{(\w+)\}", text) == ["lrrrr", "llrrrr"]
    for line in text.splitlines():
        assert line.count(" & ") in (0, 4, 5)


def test_markdown_has_the_best_first_and_as_many_cells_in_each_line(compared: Study) -> None:
    means, pairs = re.split(r"\n\n(?=\*\*)", paper_tables(compared, MARKDOWN))
    lines = means.splitlines()[2:]
    assert lines[2].startswith("| loss=dice_bce | 8 | 1 | 0.")
    assert lines[3].startswith("| loss=bce | 8 | 1 | 0.475 |")
    assert len({line.count("|") for line in lines}) == 1
    assert "networks are compared, not the configurations" in pairs


def test_figures_are_pdf_and_svg_of_a_column_and_equal_from_equal_studies(compared: Study, tmp_path: Path) -> None:
    files = write_paper_figures(tmp_path, compared)
    assert [path.name for path in files] == ["column-tumour.pdf", "column-tumour.svg"]
    before = [path.read_bytes() for path in files]
    assert before[0].startswith(b"%PDF")
    assert b'width="241.2pt"' in before[1]  # 85 mm
    assert b"loss=dice_bce" in before[1]
    assert [path.read_bytes() for path in write_paper_figures(tmp_path, compared)] == before


def test_texts_of_a_figure_lie_within_it(compared: Study) -> None:
    figure = column_figure(compared.sections[0])
    figure.draw_without_rendering()
    width = figure.bbox.width
    for text in (figure.axes[0].xaxis.label, *figure.axes[0].get_yticklabels()):
        box = text.get_window_extent()
        assert 0 <= box.x0 <= box.x1 <= width
