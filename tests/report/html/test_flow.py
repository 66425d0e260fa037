"""Flow of cases from those found to those tested."""

from lightning_liver.report.html.blocks import Chart, Folded, Text
from lightning_liver.report.html.flow import flow
from lightning_liver.runs.contents import read_lines
from tests.report.html.whole_run import PATIENTS


def test_flow_counts_every_case_once_and_lists_refused_ones(whole_run) -> None:
    chart, folded = flow(read_lines(whole_run / "data.csv"))
    assert isinstance(chart, Chart)
    assert f"found {PATIENTS + 7} scans, {PATIENTS + 7} patients" in chart.alt
    assert "left out 1 could not be read, 1 without labels" in chart.alt
    assert f"test {PATIENTS} scans" in chart.alt
    assert isinstance(folded, Folded)
    assert [cell.text for cell in folded.blocks[0].rows[0]] == ["130", "patient-130", "volume-130.nii: damaged"]


def test_an_earlier_run_says_that_refused_cases_are_unknown(whole_run) -> None:
    lines = [dict(line) for line in read_lines(whole_run / "data.csv")]
    for line in lines:
        del line["reason"]
    (text,) = flow(lines)
    assert isinstance(text, Text)
    assert "not recorded" in text.text
