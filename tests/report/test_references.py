import pytest

from lightning_liver.comparison.statistics import Scores, configuration_mean
from lightning_liver.comparison.study_text import good_enough, reference_text
from lightning_liver.metrics.intervals import Mean
from lightning_liver.report.references import NOT_COMPARABLE, REASON, line_label, references


def means_of(table: Scores) -> dict[str, Mean]:
    return {name: configuration_mean({0: scores}) for name, scores in table.items()}


def around(mean: float) -> dict[str, float]:
    """Return twelve patients within 0.01 of a mean."""
    return {f"patient-{n}": mean + 0.01 * (-1) ** n for n in range(12)}


@pytest.mark.parametrize("structure", ["tumour", "liver"])
def test_every_published_result_has_its_source_and_is_not_comparable(structure: str) -> None:
    text = reference_text(structure, means_of({"loss=dice": around(0.5)}))
    for each in references(structure):
        line = next(line for line in text.splitlines() if line.startswith(each.label))
        assert NOT_COMPARABLE in line
        assert line.endswith(each.source)
        assert f" {each.dice} " in line
        assert NOT_COMPARABLE in line_label(each)
    assert text.count(REASON) == 1


def test_published_results_are_those_of_their_sources() -> None:
    tumour = {each.label: (each.dice, each.source) for each in references("tumour")}
    assert tumour["best of LiTS, ISBI 2017"] == (0.674, "arXiv:1901.04056")
    assert tumour["best of LiTS, MICCAI 2017"] == (0.702, "arXiv:1901.04056")
    assert tumour["best of LiTS, MICCAI 2018"] == (0.739, "arXiv:1901.04056")
    assert tumour["nnU-Net"] == (0.763, "github.com/JunMa11/SOTA-MedSeg")
    assert tumour["H-DenseUNet"] == (0.722, "github.com/JunMa11/SOTA-MedSeg")
    assert tumour["human, Chlebus 2018"] == (0.72, "doi:10.1038/s41598-018-33860-7")
    assert [each.dice for each in references("liver")] == [0.95, 0.961, 0.963, 0.967]


@pytest.mark.parametrize(
    ("mean", "answer"),
    [
        (0.5, "No, not by these figures: the whole interval lies below all of them."),
        (0.674, "The data cannot tell: the interval holds some of these figures and lies above none."),
        (0.72, "In part: the whole interval lies above some of these figures, not above all."),
        (0.9, "Yes by these figures, were they of the same scans: the whole interval lies above all of them."),
    ],
)
def test_answer_depends_on_the_position_of_the_interval(mean: float, answer: str) -> None:
    text = good_enough(means_of({"loss=dice": around(mean)}), references("tumour"))
    assert text.startswith(f"Is it good enough? {answer}\nloss=dice has {mean:.3f} (95 % ")
    assert NOT_COMPARABLE in text


def test_each_published_result_is_named_once() -> None:
    lines = good_enough(means_of({"loss=dice": around(0.72)}), references("tumour")).splitlines()
    assert "- lies below best of LiTS, MICCAI 2018 0.739; nnU-Net 0.763" in lines
    assert "- holds human, Chlebus 2018 0.72; H-DenseUNet 0.722" in lines
    above = "best of LiTS, ISBI 2017 0.674; CNN, Chlebus 2018 0.69; best of LiTS, MICCAI 2017 0.702"
    assert f"- lies above {above}" in lines


def test_best_configuration_is_compared_and_its_selection_is_noted() -> None:
    text = good_enough(means_of({"loss=bce": around(0.2), "loss=dice": around(0.5)}), references("tumour"))
    assert "loss=dice, the best of 2 configurations, has 0.500" in text
    assert "The best was picked by the very scores shown here" in text


def test_two_patients_have_no_interval_and_so_no_answer() -> None:
    text = good_enough(means_of({"loss=dice": {"A": 0.9, "B": 0.8}}), references("tumour"))
    assert text.startswith("Is it good enough? The data cannot tell: it takes three patients")
    assert "loss=dice has 0.850." in text


def test_structure_without_published_results_has_no_section() -> None:
    assert reference_text("spleen", means_of({"loss=dice": around(0.5)})) == ""
