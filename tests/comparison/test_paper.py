"""Tables and figures of a study for a paper."""

import re
from collections.abc import Iterable
from itertools import product
from pathlib import Path

import pytest

from lightning_liver.comparison.figures import draw
from lightning_liver.comparison.loss_scores import LossScores
from lightning_liver.comparison.paper import LATEX, MARKDOWN, column_figure, paper_tables, write_paper_figures
from lightning_liver.comparison.runs import Run, read_runs
from lightning_liver.comparison.study import Study, study
from tests.report.run_folders import scores_of, write_run


@pytest.fixture
def compared(tmp_path: Path) -> Study:
    for loss, gain in (("bce", 0.0), ("dice_bce", 0.1)):
        dice = [0.3 + 0.05 * n + gain + 0.001 * n * (gain > 0) for n in range(8)]
        write_run(tmp_path / "runs" / loss, loss, scores_of(*dice))
    return study(read_runs([tmp_path / "runs"]), ("tumour",))


def section_names(text: str) -> list[str]:
    return re.findall(r"\\label\{tab:(.+?)\}", text)


def many(folder: Path, losses: Iterable[str], **option: list[object]) -> list[Run]:
    for loss in losses:
        for values in product(*option.values()):
            options = dict(zip(option, values, strict=True))
            dice = [0.3 + 0.05 * n + 0.01 * len(loss) for n in range(6)]
            write_run(folder / f"{loss}-{'-'.join(map(str, values))}", loss, scores_of(*dice), options=options)
    return read_runs([folder])


def test_latex_escapes_its_signs_and_has_a_minus(compared: Study) -> None:
    text = paper_tables(compared, LATEX)
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 2
    assert re.search(r"dice\\_\\penalty500\{\}bce & 0\.", text)
    assert "$-$0.10" in text
    assert "95\\,\\%" in text
    assert not re.search(r"(?<!\\)[%_]", text.partition("\n")[2])
    assert re.findall(r"\\begin\{tabular\}\{(\w+)\}", text) == ["lrr", "llrrr"]
    for line in text.splitlines():
        assert line.count(" & ") in (0, 2, 4)


def test_a_row_of_latex_does_not_begin_with_a_bracket(tmp_path: Path) -> None:
    """After the end of a row LaTeX would read it as a distance."""
    runs = many(tmp_path, ["focal"], size=["[96, 128]", "[128, 128]"])
    lines = paper_tables(study(runs, ("tumour",)), LATEX).splitlines()
    assert any(line.startswith("{[}96, ") or line.startswith("{[}96,\\penalty") for line in lines)
    assert not any(line.startswith("[") for line in lines)


def test_only_what_differs_is_a_column_and_the_caption_says_the_rest(compared: Study) -> None:
    means, pairs = re.split(r"\n\n(?=\*\*)", paper_tables(compared, MARKDOWN))
    assert means.startswith("**Mean tumour Dice per case, over 8 patients and 1 seed, with its 95 % interval.**")
    lines = means.splitlines()[2:]
    assert lines[0] == "| loss | Mean | 95 % interval |"
    assert lines[2].startswith("| dice_bce | 0.")
    assert lines[3].startswith("| bce | 0.475 |")
    assert len({line.count("|") for line in lines}) == 1
    assert "the first loss minus the second" in pairs
    assert "networks are compared, not the configurations" in pairs


def test_too_many_pairs_are_letters_but_against_a_baseline(tmp_path: Path) -> None:
    runs = many(tmp_path, ["tversky"], alpha=[n / 100 for n in range(11)])
    text = paper_tables(study(runs, ("tumour",)), LATEX)
    assert section_names(text) == ["tumour-means"]
    assert "& Letters " in text
    against = paper_tables(study(runs, ("tumour",), baseline="0.0"), LATEX)
    assert section_names(against) == ["tumour-means", "tumour-pairs"]


def test_long_names_are_broken_and_a_table_longer_than_a_page_goes_on(tmp_path: Path) -> None:
    runs = many(tmp_path, ["exponential_logarithmic", "bce"], gamma_of_the_whole=list(range(4)), weight=[1, 2, 3, 4])
    text = paper_tables(study(runs, ("tumour",)), LATEX)
    assert r"\begin{longtable}{>{\raggedright\arraybackslash}p{0.55\linewidth}rrr}" in text
    assert text.count(r"\begin{") == text.count(r"\end{") == 1


def test_strata_have_labels_of_their_own(tmp_path: Path) -> None:
    runs = many(tmp_path, ["bce", "dice"], gamma=[1, 2])
    names = section_names(paper_tables(study(runs, ("tumour",), within=["loss.gamma"]), LATEX))
    assert len(set(names)) == len(names) == 4


def test_heat_map_is_a_pdf_without_title(tmp_path: Path) -> None:
    runs = many(tmp_path / "runs", ["focal"], alpha=[0.25, 0.5], gamma=[1, 2])
    compared = study(runs, ("tumour",))
    drawn = draw(compared, LossScores({}, {}, 0))
    files = {path.name: path for path in write_paper_figures(tmp_path, compared, drawn)}
    assert set(files) == {f"{name}-tumour.{ending}" for name in ("column", "heatmap") for ending in ("pdf", "svg")}
    text = files["heatmap-tumour.svg"].read_text()
    assert "loss.alpha" in text
    assert "Tumour Dice by" not in text


def test_figures_are_pdf_and_svg_of_a_column_and_equal_from_equal_studies(compared: Study, tmp_path: Path) -> None:
    files = write_paper_figures(tmp_path, compared, {})
    assert [path.name for path in files] == ["column-tumour.pdf", "column-tumour.svg"]
    before = [path.read_bytes() for path in files]
    assert before[0].startswith(b"%PDF")
    assert b'width="241.2pt"' in before[1]  # 85 mm
    assert b"loss=dice_bce" in before[1]
    assert [path.read_bytes() for path in write_paper_figures(tmp_path, compared, {})] == before


def test_texts_of_a_figure_lie_within_it(compared: Study) -> None:
    figure = column_figure(compared.sections[0])
    figure.draw_without_rendering()
    width = figure.bbox.width
    for text in (figure.axes[0].xaxis.label, *figure.axes[0].get_yticklabels()):
        box = text.get_window_extent()
        assert 0 <= box.x0 <= box.x1 <= width
