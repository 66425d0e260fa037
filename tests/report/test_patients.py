"""Sentences about patients say no more than the run knows."""

from dataclasses import replace

import pytest

from lightning_liver.report.html.results import results_section
from lightning_liver.report.patients import patients_are_known, separation
from lightning_liver.runs.contents import Contents, read_contents


@pytest.fixture
def contents(whole_run) -> Contents:
    return read_contents(whole_run)


def unknown(contents: Contents, *cases: str) -> Contents:
    lines = [{**line, "patient_known": str(line["case"] not in cases)} for line in contents.data or ()]
    return replace(contents, data=lines)


def scored(contents: Contents) -> str:
    return results_section(contents).blocks[0].text


def test_parts_without_a_common_patient_are_claimed_where_each_patient_is_given(contents: Contents) -> None:
    assert patients_are_known(contents)
    assert separation(contents, past=True) == "no patient was in two parts"
    assert scored(contents).startswith("26 scans of 26 patients that the network was not trained on")


def test_one_scan_of_an_unknown_patient_takes_the_claim_back(contents: Contents) -> None:
    told = unknown(contents, "7")
    assert separation(told).startswith(
        "the patient is given for 30 of 31 scans, so that a patient with several scans may"
    )
    assert scored(told).startswith("26 scans that the network was not trained on, counted as 26 patients")


def test_a_run_of_an_earlier_version_claims_nothing(contents: Contents) -> None:
    earlier = [{k: v for k, v in line.items() if k != "patient_known"} for line in contents.data or ()]
    assert separation(replace(contents, data=earlier)).startswith("no patients are given")
    assert not patients_are_known(replace(contents, data=None))


def test_phantoms_are_patients_of_their_own_in_every_version(contents: Contents) -> None:
    phantoms = {**contents.settings, "data.source._target_": "lightning_liver.data.phantom.cases"}
    assert separation(replace(contents, settings=phantoms, data=None)) == "no patient is in two parts"
