"""Checklist for a paper: filled by the run, or left to the author."""

from dataclasses import replace

from lightning_liver.report.html.checklist import checklist_section
from lightning_liver.runs.contents import read_contents


def rows(contents) -> dict[str, tuple[str, str]]:
    table = checklist_section(contents).blocks[1]
    return {topic.text: (text.text, source.text) for topic, text, source in table.rows}


def test_topics_that_the_run_knows_are_filled(whole_run) -> None:
    found = rows(read_contents(whole_run))
    assert "31 scans of 31 patients" in found["Source of the data and split by patient"][0]
    assert found["Eligible and excluded cases"][0].startswith("1 scans could not be read, 1 had no labels")
    assert found["Results with their uncertainty"][0].startswith("liver Dice 0.944 (0.938 to 0.951)")
    assert found["De-identification, ethics"][1] == "yours to write"
    assert found["External validation"][1] == "yours to write"


def test_topics_without_their_file_are_the_authors(whole_run) -> None:
    found = rows(replace(read_contents(whole_run), data=None, cases=()))
    assert found["Eligible and excluded cases"][1] == "yours to write"
    assert found["Results with their uncertainty"][1] == "yours to write"
